"""The gateway of bench/ is one that this project's own client talks to, over http and over https."""

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from ssl import create_default_context
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import orjson
import pytest
import requests

from bench.stage import FastGateway
from worker.gateway import OutgoingSms
from worker.gateway.http import HttpGateway

ONE, TWO = OutgoingSms(1, "998901112233", "Kodingiz: 100%"), OutgoingSms(2, "998901112234", "Ваш код + 7")
OVER_BOTH = pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])


@pytest.fixture
def fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FastGateway]:
    gateway = FastGateway(tmp_path, 0.0, tls=True)
    for name, file in gateway.trust.items():
        monkeypatch.setenv(name, file)
    yield gateway
    gateway.stop()


def begins() -> None:
    """Nothing is in the way of a post."""


def client_of(fast: FastGateway, *, tls: bool) -> HttpGateway:
    return HttpGateway(
        url=fast.url_over(tls=tls),
        login=fast.login,
        password=fast.password,
        zone=ZoneInfo("Asia/Tashkent"),
        connect_timeout_seconds=10,
        read_timeout_seconds=10,
        connections=1,
    )


@OVER_BOTH
def test_posts_are_accepted_and_counted(fast: FastGateway, *, tls: bool) -> None:
    with closing(client_of(fast, tls=tls)) as client:
        first = client.submit([ONE, TWO], nickname=None, begin=begins)
        client.submit([ONE], nickname=None, begin=begins)

    assert [one.reference for one in first.accepted] == [1, 2]
    assert fast.phones() == {ONE.phone: 2, TWO.phone: 1}
    assert (fast.stats().requests, fast.tally().messages) == (2, 3)


@OVER_BOTH
def test_what_was_accepted_can_be_asked_about(fast: FastGateway, *, tls: bool) -> None:
    with closing(client_of(fast, tls=tls)) as client:
        client.submit([ONE, TWO], nickname=None, begin=begins)
        reports = client.reports("10000001")

    assert [report.recipient for report in reports] == [TWO.phone]


def test_a_connection_over_tls_takes_one_large_post_after_the_other(fast: FastGateway) -> None:
    rows = [{"phone": f"9989{number:08}", "text": "Ў" * 2_000} for number in range(100)]  # many records of TLS
    form = urlencode({"login": fast.login, "password": fast.password, "data": orjson.dumps(rows)})
    with closing(HTTPSConnection("127.0.0.1", fast.tls_port, context=create_default_context())) as connection:
        answers = [_posted(connection, form) for _ in range(2)]

    assert [len(answer) for answer in answers] == [100, 100]
    assert fast.tally().messages == 200


def test_who_does_not_know_its_authority_does_not_trust_it(fast: FastGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in fast.trust:
        monkeypatch.delenv(name)

    with pytest.raises(requests.exceptions.SSLError):
        requests.post(f"{fast.url}/", data={}, timeout=10)


def _posted(connection: HTTPSConnection, form: str) -> list[object]:
    connection.request("POST", "/smsgateway/", form)
    answer: list[object] = orjson.loads(connection.getresponse().read())
    return answer
