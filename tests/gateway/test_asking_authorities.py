"""Whom a question trusts, and for how long: whoever the environment names, nobody besides, and a minute."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pycurl
import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from servers import wait_for

from worker.gateway import http
from worker.gateway.asking import _trust
from worker.gateway.http import HttpGateway

OpenGateway = Callable[..., HttpGateway]

SELF_SIGNED = Path(__file__).parent / "self_signed.pem"
HASH_OF_ITS_SUBJECT = "36ef742f.0"  # openssl x509 -hash
REPORTS = b'[{"message_id": "7", "status": "delivered"}]'


def tell(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(REPORTS)))
    handler.end_headers()
    handler.wfile.write(REPORTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Authorities as OpenSSL looks for them in a folder."""
    (tmp_path / HASH_OF_ITS_SUBJECT).write_text(SELF_SIGNED.read_text())
    return tmp_path


def test_a_certificate_in_the_named_folder_is_trusted(
    open_gateway: OpenGateway, serve: Any, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder))

    (report,) = open_gateway(url=serve(tell, tls=True).url).reports("1")

    assert report.message_id == "7"


@pytest.mark.parametrize("named", ["file", "folder"])
def test_the_machines_own_authorities_are_not_trusted_beside_the_named(
    serve: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory, named: str
) -> None:
    """libcurl and pycurl know the machine's own, and set them as that option which is not said."""
    authorities = DEFAULT_CA_BUNDLE_PATH if named == "file" else str(tmp_path_factory.mktemp("nobody"))
    with closing(pycurl.Curl()) as easy:
        easy.setopt(pycurl.URL, serve(tell, tls=True).url)
        easy.setopt(pycurl.CAINFO, str(SELF_SIGNED))
        easy.setopt(pycurl.CAPATH, str(folder))

        _trust(easy, authorities)

        with pytest.raises(pycurl.error) as refused:
            easy.perform()
    assert refused.value.args[0] == pycurl.E_PEER_FAILED_VERIFICATION


def test_a_connection_in_constant_use_is_left_when_it_is_old(
    open_gateway: OpenGateway, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_LIFE_SECONDS", 1)
    server = serve(tell)
    with closing(open_gateway(url=server.url).questions(at_once=1)) as questions:

        def is_over_another() -> bool:
            questions.ask("1")
            return bool(questions.heard(wait_seconds=20)) and server.connections > 1

        wait_for(is_over_another)
