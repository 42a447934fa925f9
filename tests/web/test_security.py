"""What every answer says to the browser, and what no request gets past."""

import re
import socket
from collections.abc import Callable, Iterator
from threading import Event
from urllib.parse import urlsplit

import httpx
import pytest
from builders import Clock
from sqlalchemy.orm import Session, sessionmaker
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route
from web_pages import OPERATOR, Browser, serving

from worker.settings import Settings
from worker.store.engine import make_engine, make_sessions
from worker.web import patience
from worker.web.app import make_app

FOREIGN = re.compile(r"""(?:src|href|action)=["'](?:https?:)?//""")
LARGE = "/static/css/vendor/tabler.min.css"  # half a megabyte
MORE_THAN_A_SYSTEM_KEEPS = 60  # of these
FORM = b"content-type: application/x-www-form-urlencoded\r\n"
OPEN = {"/login", "/healthz", "/metrics", "/static"}

# What the database holds plays no part here.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def app(a_settings: Callable[..., Settings], sessions: sessionmaker[Session], clock: Clock) -> Starlette:
    return make_app(a_settings(web_password=OPERATOR), sessions, now=clock)


def routes(of: Iterator[BaseRoute] | list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Every method and address there is."""
    for route in of:
        if isinstance(route, Mount) and route.routes:
            yield from routes(route.routes)
        elif isinstance(route, Route):
            path = re.sub(r"\{[^}]*:int\}", "1", route.path)
            yield from ((method, re.sub(r"\{[^}]*\}", "x", path)) for method in sorted(route.methods or ()))


def test_no_address_answers_without_a_log_in(app: Starlette) -> None:
    closed = [(method, path) for method, path in routes(app.routes) if path not in OPEN]
    assert ("GET", "/messages") in closed
    with serving(app) as url:
        stranger = Browser(url)
        stranger.get("/login")

        answers = {
            (method, path): stranger.http.request(
                method, path, data={"csrftoken": stranger.token} if method == "POST" else None, follow_redirects=False
            )
            for method, path in closed
            if path not in {"/language", "/theme"}
        }
        stranger.close()

    let_in = [
        where
        for where, answer in answers.items()
        if answer.status_code != 303 or not answer.headers["location"].startswith("/login")
    ]
    assert let_in == []


def test_every_post_without_its_token_is_refused(app: Starlette) -> None:
    posts = [path for method, path in routes(app.routes) if method == "POST"]
    assert "/logout" in posts
    with serving(app) as url:
        operator = Browser(url)
        operator.log_in(OPERATOR)

        answers = {path: operator.http.post(path, data={"a": "b"}).status_code for path in posts}
        guessed = {path: operator.http.post(path, data={"csrftoken": "guessed"}).status_code for path in posts}
        operator.close()

    assert answers == dict.fromkeys(posts, 403)
    assert guessed == dict.fromkeys(posts, 403)


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://["}, {"sec-fetch-site": "cross-site"}],
    ids=["its origin", "an origin that is hidden", "an origin that is none", "what the browser says"],
)
def test_a_post_of_another_site_is_refused_even_with_the_token(operator: Browser, headers: dict[str, str]) -> None:
    operator.get("/")
    operator.http.headers.update(headers)

    assert operator.send("/theme", theme="dark").status_code == 403


@pytest.mark.parametrize(("mode", "status"), [("no-cors", 403), ("cors", 403), ("navigate", 200)])
def test_another_site_may_link_to_a_page_and_not_have_it_inside_its_own(local: Browser, mode: str, status: int) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": mode}

    assert local.get("/messages.csv", headers=headers).status_code == status


@pytest.mark.parametrize("path", ["/", "/messages", "/login", "/nowhere", "/metrics", "/healthz"])
def test_every_answer_says_what_a_browser_may_do_with_it(operator: Browser, path: str) -> None:
    headers = operator.get(path).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "geolocation=()" in headers["permissions-policy"]
    assert "server" not in headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'nonce-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_each_answer_has_a_nonce_of_its_own_which_its_scripts_bear(local: Browser) -> None:
    pages = [local.get("/"), local.get("/")]

    nonces = [re.findall(r"'nonce-([^']+)'", page.headers["content-security-policy"])[0] for page in pages]
    assert nonces[0] != nonces[1]
    for page, nonce in zip(pages, nonces, strict=True):
        inline = re.findall(r"<(?:script|style)(?![^>]*\bsrc=)([^>]*)>", page.text)
        assert inline
        assert all(f'nonce="{nonce}"' in attributes for attributes in inline)


@pytest.mark.parametrize(
    "path", ["/", "/messages", "/batches", "/reports", "/callbacks", "/refused", "/decisions", "/blocks", "/workers"]
)
def test_a_page_loads_nothing_from_elsewhere_and_has_no_scripts_or_styles_in_its_tags(
    local: Browser, path: str
) -> None:
    page = local.get(path).text

    assert not FOREIGN.search(page)
    assert not re.search(r"<[^>]+\s(?:style|on\w+)=", page)
    assert "@import" not in page


def test_all_that_a_page_loads_is_there(local: Browser) -> None:
    loaded = re.findall(r'<(?:link|script)[^>]+(?:href|src)="(/[^"]+)"', local.get("/").text)

    assert "/static/sms.css" in loaded
    for path in loaded:
        answer = local.get(path)
        assert answer.status_code == 200
        assert "url(http" not in answer.text
        assert "@import" not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8088", "127.0.0.1.evil.example", "192.168.0.7", "[::2]", ""]
)
def test_without_a_password_no_other_name_is_answered(local: Browser, host: str) -> None:
    assert local.get("/", headers={"host": host}).status_code in {400, 403}


@pytest.mark.parametrize("host", ["127.0.0.1:8088", "localhost", "[::1]:8088"])
def test_without_a_password_this_machine_is_answered(local: Browser, host: str) -> None:
    assert local.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-proto", "via"])
def test_without_a_password_no_proxy_is_answered(local: Browser, header: str) -> None:
    assert local.get("/", headers={header: "192.0.2.7"}).status_code == 403


def test_an_address_that_is_none_tells_nothing(local: Browser) -> None:
    answer = local.get("/nowhere/998901234567")

    assert answer.status_code == 404
    assert "998901234567" not in answer.text


def test_a_large_form_is_refused_before_it_is_read(local: Browser) -> None:
    assert local.send("/theme", theme="x" * 70_000).status_code == 413


def test_a_form_without_a_length_is_refused(local: Browser) -> None:
    answer = local.http.post("/theme", content=iter([b"theme=dark"]))

    assert answer.status_code == 411


def test_while_the_database_is_away_pages_say_so_and_nothing_secret(
    a_settings: Callable[..., Settings], clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = a_settings(database_url="postgresql+psycopg://sms:hidden-word@127.0.0.1:9/sms")
    with serving(make_app(settings, make_sessions(make_engine(settings.database_url)), now=clock)) as url:
        local = Browser(url)
        page, health = local.get("/messages?phone=998901234567"), local.get("/healthz")
        figures = local.get("/metrics")
        local.close()

    assert (page.status_code, health.status_code) == (503, 503)
    assert "The database does not answer" in page.text
    assert "sms_database_up 0.0" in figures.text
    said = page.text + health.text + "".join(capsys.readouterr())
    assert "hidden-word" not in said
    assert "998901234567" not in said


def test_a_mistake_of_ours_is_a_page_and_a_line_without_what_was_asked(
    app: Starlette, capsys: pytest.CaptureFixture[str]
) -> None:
    def err(_: object) -> None:
        raise ValueError("998901234567")

    app.router.routes.insert(0, Route("/healthz", err))
    with serving(app) as url:
        local = Browser(url)
        answer = local.get("/healthz?phone=998901234567")
        local.close()

    logged = "".join(capsys.readouterr())
    assert answer.status_code == 500
    assert "This went wrong" in answer.text
    assert "web_page_failed" in logged
    assert "998901234567" not in answer.text + logged


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x; charset=punycode", "application/json", "text/plain"]
)
def test_a_form_of_another_kind_is_not_read(stranger: Browser, kind: str) -> None:
    answer = stranger.http.post("/login", content=b"--x\r\n", headers={"content-type": kind})

    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/batches/" + "9" * 5_000, 404),
        ("/batches/" + "9" * 19, 404),
        ("/batches/x", 404),
        ("/batches?after=9223372036854775807", 200),
        ("/messages?after=9223372036854775807", 200),
        ("/batches?since=0001-01-01T00:05%2B00:00", 400),
        ("/batches?until=9999-12-31T23:59%2B00:00", 400),
        ("/reports?message=" + "9" * 5_000, 400),
    ],
)
def test_no_number_and_no_time_is_too_much_for_a_page(local: Browser, path: str, status: int) -> None:
    assert local.get(path).status_code == status


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/do/retry", {"callback": "9" * 5_000}),
        ("/decide", {"verdict": "drop", "all": "1", "shown": "-1", "until": "2026-11-30T09:00:00+00:00"}),
        ("/decide", {"verdict": "drop", "all": "1", "shown": "1", "until": "0001-01-01T00:00:00+23:00"}),
    ],
    ids=["a long id", "less than none", "before all time"],
)
def test_a_form_that_no_page_of_ours_made_is_refused(local: Browser, path: str, fields: dict[str, str]) -> None:
    assert local.send(path, follow=True, **fields).status_code == 400


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET / HTT", b"POST /theme HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n" + FORM + b"\r\nthe"],
    ids=["nothing", "half a line", "half a form"],
)
def test_who_does_not_finish_asking_is_hung_up_on(
    open_page: str, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(patience, "ASKED_WITHIN_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", urlsplit(open_page).port or 0), timeout=20) as dawdler:
        dawdler.sendall(begun)

        assert heard(dawdler) == 0


def test_who_does_not_listen_is_hung_up_on(open_page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lost, losing = Event(), patience.Impatient.connection_lost

    def lose(protocol: patience.Impatient, why: Exception | None) -> None:
        losing(protocol, why)
        lost.set()

    # The other end would see it only behind megabytes that the system still holds for it.
    monkeypatch.setattr(patience.Impatient, "connection_lost", lose)
    monkeypatch.setattr(patience, "HEARD_WITHIN_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", urlsplit(open_page).port or 0), timeout=20) as dawdler:
        dawdler.sendall(f"GET {LARGE} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() * MORE_THAN_A_SYSTEM_KEEPS)

        assert lost.wait(20)


def test_who_asks_twice_by_one_connection_is_answered_twice(open_page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ASKED_WITHIN_SECONDS", 0.2)
    with httpx.Client(base_url=open_page, limits=httpx.Limits(max_connections=1)) as one:
        assert [one.get("/healthz").status_code for _ in range(3)] == [200] * 3


def heard(connection: socket.socket) -> int:
    """How many bytes came until the other end hung up."""
    count = 0
    try:
        while piece := connection.recv(65_536):
            count += len(piece)
    except ConnectionResetError:
        pass
    return count
