"""Many questions in one thread: each has its own answer, its own time and its own trouble."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Barrier, Event
from typing import Any
from urllib.parse import urlsplit

import pytest
from wires import Tunnel, Wire, heard_of, listening, refused_port, server_context, trickling

from worker.errors import AccountRefused, GatewayUnavailable, ReportsUnavailable
from worker.gateway import Questions
from worker.gateway.asking import CurlQuestions
from worker.gateway.http import HttpGateway

OpenGateway = Callable[..., HttpGateway]
Ask = Callable[..., dict[str, Any]]

SELF_SIGNED = Path(__file__).parent / "self_signed.pem"
SECRET = "the-password"
REPORT = {"recipient": "998901112233", "message_id": "7", "status": "delivered"}


@pytest.fixture
def open_questions(open_gateway: OpenGateway) -> Iterator[Callable[..., Questions]]:
    """Questions to a server, closed after the test."""
    with ExitStack() as ending:

        def opened(url: str, *, at_once: int = 4, **changes: Any) -> Questions:
            return ending.enter_context(closing(open_gateway(url=url, **changes).questions(at_once=at_once)))

        yield opened


def asked_for(handler: Any) -> str:
    """The request_id of the question in hand."""
    name: str = json.loads(handler.server.served.forms[-1]["data"])[0]["request_id"]
    return name


def tell(handler: Any, rows: Any = (REPORT,), status: int = 200, **headers: str) -> None:
    body = rows if isinstance(rows, bytes) else json.dumps(list(rows)).encode()
    handler.send_response(status)
    for name, value in ({"Content-Length": str(len(body))} | headers).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def test_a_question_is_asked_as_the_document_shows(open_questions: Any, serve: Any) -> None:
    server = serve(tell)

    heard_of(open_questions(server.url, login="one & two", password=SECRET), "93786401")

    assert server.paths == ["/smsgateway/status/"]
    assert server.forms == [{"login": "one & two", "password": SECRET, "data": '[{"request_id":"93786401"}]'}]


def test_questions_are_under_way_at_the_same_time(open_questions: Any, serve: Any) -> None:
    """The server answers none of them before it has all of them."""
    all_here = Barrier(8, timeout=20)

    def answer(handler: Any) -> None:
        all_here.wait()
        tell(handler)

    heard = heard_of(open_questions(serve(answer).url, at_once=8), *map(str, range(8)))

    assert {reports[0].message_id for reports in heard.values()} == {"7"}


def test_a_question_that_hangs_does_not_hold_up_the_others(open_questions: Any, serve: Any) -> None:
    let_go = Event()

    def answer(handler: Any) -> None:
        if asked_for(handler) == "hangs":
            let_go.wait(20)
        tell(handler)

    questions = open_questions(serve(answer).url)
    questions.ask("hangs")
    others = [heard_of(questions, "1", "2"), heard_of(questions, "3")]
    let_go.set()
    (last,) = questions.heard(wait_seconds=20)

    assert [set(heard) for heard in others] == [{"1", "2"}, {"3"}]
    assert last.request_id == "hangs"


def test_a_question_that_hangs_is_given_up_alone(open_questions: Any, serve: Any) -> None:
    let_go = Event()

    def answer(handler: Any) -> None:
        if asked_for(handler) == "hangs":
            let_go.wait(20)
        tell(handler)

    questions = open_questions(serve(answer).url, connect_timeout_seconds=0.2, read_timeout_seconds=0.2)
    heard = heard_of(questions, "hangs", "1")
    let_go.set()

    assert isinstance(heard["hangs"], ReportsUnavailable)
    assert heard["hangs"].reason == "cut off after the question may have arrived: time-out"
    assert heard["1"][0].message_id == "7"


def test_connections_are_kept(open_questions: Any, serve: Any) -> None:
    server = serve(tell)
    questions = open_questions(server.url)

    for _ in range(3):
        heard_of(questions, "1", "2")

    assert len(server.forms) == 6
    assert server.connections <= 2


def test_a_connection_that_was_closed_meanwhile_is_no_trouble(open_questions: Any, serve: Any) -> None:
    def answer_and_leave(handler: Any) -> None:
        tell(handler)
        handler.close_connection = True  # without having said so

    questions = open_questions(serve(answer_and_leave).url)

    heard = [heard_of(questions, "1")["1"] for _ in range(5)]

    assert [reports[0].message_id for reports in heard] == ["7"] * 5


def drop(handler: Any) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def forbid_and_drop(handler: Any) -> None:
    tell(handler, b"short", 403, **{"Content-Length": "1000"})
    drop(handler)


ODD: list[Any] = [
    pytest.param(drop, ReportsUnavailable, id="dropped"),
    pytest.param(lambda handler: tell(handler, b" " * (9 * 2**20)), ReportsUnavailable, id="endless"),
    pytest.param(
        lambda handler: [handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n"), handler.wfile.write(b" " * (9 * 2**20))],
        ReportsUnavailable,
        id="endless, and no length said",
    ),
    pytest.param(lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n"), ReportsUnavailable, id="no HTTP"),
    pytest.param(
        lambda handler: tell(handler, status=302, Location="http://127.0.0.1:1/"), ReportsUnavailable, id="a redirect"
    ),
    pytest.param(forbid_and_drop, AccountRefused, id="403 with a broken body"),
]


@pytest.mark.parametrize(("answer", "error"), ODD)
def test_an_odd_answer_is_that_of_its_question_alone(
    open_questions: Any, serve: Any, answer: Callable[[Any], None], error: type[Exception]
) -> None:
    def one_is_odd(handler: Any) -> None:
        if asked_for(handler) == "odd":
            answer(handler)
            handler.close_connection = True
        else:
            tell(handler)

    heard = heard_of(open_questions(serve(one_is_odd).url), "odd", "1")

    assert type(heard["odd"]) is error
    assert heard["1"][0].message_id == "7"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param("http://127.0.0.1:{}/smsgateway", "refused", id="refused"),
        pytest.param("https://127.0.0.1:{}/smsgateway", "refused", id="refused, TLS"),
        pytest.param("http://gateway.invalid/smsgateway", "DNS", id="unknown host"),
        pytest.param("http://user:{}@exa mple/smsgateway", "URL", id="no such URL"),
    ],
)
def test_without_a_connection_a_question_says_so(open_questions: Any, url: str, kind: str) -> None:
    heard = heard_of(open_questions(url.format(refused_port())), "1")

    assert isinstance(heard["1"], GatewayUnavailable)
    assert heard["1"].reason == f"no connection to the gateway: {kind}"


def test_a_connection_that_does_not_come_about_is_given_up(open_questions: Any) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first, socket.socket() as second:
        for waiting in (first, second):  # fill the queue of those who wait to be accepted
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        questions = open_questions(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout_seconds=0.2)

        heard = heard_of(questions, "1")

    assert isinstance(heard["1"], GatewayUnavailable)
    assert heard["1"].reason == "no connection to the gateway: time-out"


def test_what_is_forgotten_is_hung_up_on(open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(trickling(b"HTTP/1.1 200 OK\r\nX-Slow: "), server_context(SELF_SIGNED))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(SELF_SIGNED))
    with listening(wire):
        questions = open_gateway(url=f"https://127.0.0.1:{wire.port}").questions(at_once=2)
        questions.ask("1")
        while not wire.connections or b"POST " not in wire.connections[0].said:
            assert questions.heard(wait_seconds=0.01) == []

        questions.close()

        assert wire.connections[0].ended.wait(20)


# TLS and proxies, by the same rules as posts


def test_a_certificate_that_nobody_vouches_for_is_refused(open_questions: Any, serve: Any) -> None:
    server = serve(tell, tls=True)

    heard = heard_of(open_questions(server.url), "1")

    assert heard["1"].reason == "no connection to the gateway: TLS certificate"
    assert server.forms == []


def test_a_certificate_for_another_host_is_refused(
    open_questions: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(SELF_SIGNED))
    server = serve(tell, tls=True)
    with listening(tunnel := Tunnel(urlsplit(server.url).port or 0)):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{tunnel.port}")

        heard = heard_of(open_questions("https://another.invalid/smsgateway"), "1")

    assert heard["1"].reason == "no connection to the gateway: TLS certificate"
    assert server.forms == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_of_a_named_authority_is_trusted(
    open_questions: Any, serve: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(SELF_SIGNED))

    heard = heard_of(open_questions(serve(tell, tls=True).url), "1", "2")

    assert [reports[0].message_id for reports in heard.values()] == ["7", "7"]


@pytest.mark.parametrize("bundle", ["file", "folder"])
def test_without_the_named_authorities_nobody_is_trusted(
    open_questions: Any, serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bundle: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem" if bundle == "file" else tmp_path))

    heard = heard_of(open_questions(serve(tell, tls=True).url), "1")

    assert isinstance(heard["1"], GatewayUnavailable)


def test_a_proxy_passes_the_question_on(open_questions: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(tell)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)

    heard = heard_of(open_questions("http://gateway.invalid/smsgateway"), "1")

    assert heard["1"][0].message_id == "7"
    assert proxy.paths == ["http://gateway.invalid/smsgateway/status/"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_tunnel_leads_to_the_gateway(
    open_questions: Any, serve: Any, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(SELF_SIGNED))
    server = serve(tell, tls=True)
    context = server_context(SELF_SIGNED) if scheme == "https" else None
    with listening(tunnel := Tunnel(urlsplit(server.url).port or 0, context)):
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{tunnel.port}")

        heard = heard_of(open_questions("https://gateway.invalid/smsgateway"), "1")

    assert heard["1"][0].message_id == "7"


def test_a_host_that_needs_no_proxy_is_asked_directly(
    open_questions: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(tell), serve(tell)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.2")

    heard_of(open_questions(server.url), "1")
    heard = heard_of(open_questions(server.url.replace("127.0.0.1", "127.0.0.2")), "1")

    assert isinstance(heard["1"], GatewayUnavailable), "nobody listens there, and the proxy was not asked"
    assert (len(proxy.forms), len(server.forms)) == (0, 1)


def test_a_proxy_that_opens_no_tunnel_is_named(
    open_questions: Any, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", serve(lambda handler: handler.send_error(503)).url)

    heard = heard_of(open_questions("https://gateway.invalid/smsgateway"), "1")

    assert heard["1"].reason == "no connection to the gateway: proxy"


def test_the_proxys_own_certificate_is_verified(open_questions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(tunnel := Tunnel(0, server_context(SELF_SIGNED))):
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{tunnel.port}")

        heard = heard_of(open_questions("https://gateway.invalid"), "1")

    assert heard["1"].reason == "no connection to the gateway: TLS certificate"


def test_no_reason_and_no_repr_holds_a_secret(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{SECRET}@127.0.0.1:{refused_port()}")
    questions = open_gateway(url=f"http://user:{SECRET}@gateway.invalid", password=SECRET).questions(at_once=1)
    assert isinstance(questions, CurlQuestions)

    with closing(questions):
        (heard,) = heard_of(questions, "1").values()

    told = repr(heard) + heard.reason + str(heard.__cause__) + repr(questions._route) + "".join(capfd.readouterr())
    assert isinstance(heard, GatewayUnavailable)
    assert SECRET not in told
