"""TLS and proxies: certificates are verified, and a failure on the way to a connection is known as such."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certifi
import pytest
from wires import never, nothing

from worker.errors import GatewayUnavailable, SettingsError, SubmissionUnconfirmed
from worker.gateway import OutgoingSms
from worker.gateway.connections import trusting
from worker.gateway.http import HttpGateway

OpenGateway = Callable[..., HttpGateway]

SELF_SIGNED = Path(__file__).parent / "self_signed.pem"
SMS = OutgoingSms(1, "998901112233", "one")


def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent(
    open_gateway: OpenGateway, serve: Any, accepting: Any
) -> None:
    server = serve(accepting, tls=True)

    with pytest.raises(GatewayUnavailable, match="TLS certificate"):
        open_gateway(url=server.url).submit([SMS], nickname=None, begin=never)

    assert server.forms == []


def test_a_certificate_for_another_host_is_refused(
    open_gateway: OpenGateway, serve: Any, accepting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(SELF_SIGNED))
    server = serve(accepting, tls=True)

    with pytest.raises(GatewayUnavailable, match="TLS certificate"):
        open_gateway(url=server.url.replace("127.0.0.1", "127.1")).submit([SMS], nickname=None, begin=never)


def test_a_trusted_certificate_is_accepted(
    open_gateway: OpenGateway, serve: Any, accepting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(SELF_SIGNED))
    server = serve(accepting, tls=True)

    acceptance = open_gateway(url=server.url).submit([SMS], nickname=None, begin=nothing)

    assert [sms.request_id for sms in acceptance.accepted] == ["7"]


def test_missing_authorities_are_known_before_anything_is_sent(
    open_gateway: OpenGateway, serve: Any, accepting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem")
    server = serve(accepting, tls=True)

    with pytest.raises(GatewayUnavailable):
        open_gateway(url=server.url).submit([SMS], nickname=None, begin=never)


def test_plain_http_behind_https_is_no_connection(open_gateway: OpenGateway, serve: Any, accepting: Any) -> None:
    server = serve(accepting)

    with pytest.raises(GatewayUnavailable, match="TLS"):
        open_gateway(url=server.url.replace("http:", "https:")).submit([SMS], nickname=None, begin=never)


def test_a_tls_failure_after_the_request_leaves_it_unconfirmed(
    open_gateway: OpenGateway, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer_in_clear(handler: Any) -> None:
        with socket.socket(fileno=handler.connection.detach()) as bare:
            bare.sendall(b"HTTP/1.1 200 OK\r\n\r\nno TLS at all")
        handler.close_connection = True

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(SELF_SIGNED))
    server = serve(answer_in_clear, tls=True)

    with pytest.raises(SubmissionUnconfirmed, match="SSLError"):
        open_gateway(url=server.url).submit([SMS], nickname=None, begin=nothing)

    assert len(server.forms) == 1


def test_a_proxy_that_opens_no_tunnel_let_nothing_through(
    open_gateway: OpenGateway, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(lambda handler: handler.send_error(503))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)

    with pytest.raises(GatewayUnavailable, match="proxy"):
        open_gateway(url="https://gateway.invalid/smsgateway").submit([SMS], nickname=None, begin=never)


def test_a_proxy_that_is_not_there_let_nothing_through(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{gone.getsockname()[1]}")

    with pytest.raises(GatewayUnavailable, match="refused"):
        open_gateway(url="http://gateway.invalid/smsgateway").submit([SMS], nickname=None, begin=never)


def test_a_proxy_passes_the_post_on(
    open_gateway: OpenGateway, serve: Any, accepting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(accepting)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)

    acceptance = open_gateway(url="http://gateway.invalid/smsgateway").submit([SMS], nickname=None, begin=nothing)

    assert [sms.request_id for sms in acceptance.accepted] == ["7"]
    assert proxy.paths == ["http://gateway.invalid/smsgateway/"]


def test_this_machines_own_gateway_is_never_looked_for_behind_a_proxy(
    open_gateway: OpenGateway, serve: Any, accepting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(accepting), serve(accepting)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)

    open_gateway(url=server.url).submit([SMS], nickname=None, begin=nothing)

    assert (len(proxy.forms), len(server.forms)) == (0, 1)


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        pytest.param("HTTPS_PROXY", "https://203.0.113.7/smsgateway", id="for https"),
        pytest.param("HTTP_PROXY", "http://203.0.113.7/smsgateway", id="for http"),
        pytest.param("ALL_PROXY", "https://203.0.113.7/smsgateway", id="for all"),
    ],
)
@pytest.mark.parametrize("scheme", ["socks5", "SOCKS5H", "socks4"])
def test_a_socks_proxy_is_refused_in_one_line_that_names_the_variable(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch, variable: str, url: str, scheme: str
) -> None:
    monkeypatch.setenv(variable, f"{scheme}://user:the-password@127.0.0.1:1080")

    with pytest.raises(SettingsError, match=f"^{variable}: .* Allowed are http:// and https:// proxies") as refused:
        open_gateway(url=url)

    assert "the-password" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "url"),
    [
        pytest.param("NO_PROXY", "203.0.113.7", "https://203.0.113.7/smsgateway", id="not for this host"),
        pytest.param("HTTPS_PROXY", "http://proxy.invalid", "https://203.0.113.7/smsgateway", id="another for https"),
        pytest.param("NO_PROXY", "", "http://127.0.0.1/smsgateway", id="never for this machine"),
    ],
)
def test_a_socks_proxy_that_is_not_for_the_gateway_is_no_matter(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch, name: str, value: str, url: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv(name, value)

    assert isinstance(open_gateway(url=url), HttpGateway)


def test_authorities_are_read_once_and_again_when_they_change(
    open_gateway: OpenGateway, serve: Any, accepting: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "authorities.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    server = serve(accepting, tls=True)
    gateway = open_gateway(url=server.url)

    with pytest.raises(GatewayUnavailable, match="TLS certificate"):
        gateway.submit([SMS], nickname=None, begin=never)
    assert trusting(bundle) is trusting(bundle)
    bundle.write_bytes(SELF_SIGNED.read_bytes())
    acceptance = gateway.submit([SMS], nickname=None, begin=nothing)

    assert [sms.request_id for sms in acceptance.accepted] == ["7"]
