"""Who is let in, for how long, and how often somebody may guess."""

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest
from builders import Clock
from sqlalchemy.orm import Session, sessionmaker
from web_pages import OPERATOR, VIEWER, Browser, serving

from worker.errors import SettingsError
from worker.settings import Settings
from worker.web.app import make_app
from worker.web.passwords import Passwords, hashed
from worker.web.throttle import FREE, FREE_OVER_ALL, Throttle
from worker.web.visitors import Role

# The database plays no part here.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_whoever_logs_in_sees_the_start_page_with_the_name(operator: Browser) -> None:
    answer = operator.get("/")

    assert answer.status_code == 200
    assert "anna · operator" in answer.text


def test_a_viewer_is_told_so(viewer: Browser) -> None:
    assert "vera · viewer" in viewer.get("/").text


def test_whoever_is_not_logged_in_is_asked_and_comes_back_to_where_he_wanted(stranger: Browser) -> None:
    asked = stranger.http.get("/messages?state=failed", follow_redirects=False)

    assert asked.status_code == 303
    assert asked.headers["location"] == "/login?next=/messages%3Fstate%3Dfailed"

    stranger.get(asked.headers["location"])
    came = stranger.send("/login", follow=False, who="anna", password=OPERATOR, next="/messages?state=failed")

    assert (came.status_code, came.headers["location"]) == (303, "/messages?state=failed")


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/\nx"]
)
def test_a_log_in_leads_to_no_other_site(stranger: Browser, elsewhere: str) -> None:
    came = stranger.send("/login", follow=False, who="anna", password=OPERATOR, next=elsewhere)

    assert (came.status_code, came.headers["location"]) == (303, "/")


def test_a_wrong_password_lets_nobody_in(stranger: Browser) -> None:
    answer = stranger.log_in("guessed")

    assert answer.status_code == 401
    assert "The password is wrong." in answer.text
    assert "guessed" not in answer.text
    assert stranger.http.get("/messages", follow_redirects=False).status_code == 303


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "an\x07na"], ids=["empty", "blank", "too long", "not printable"])
def test_a_name_that_could_not_stand_in_the_audit_is_refused(stranger: Browser, name: str) -> None:
    assert stranger.log_in(OPERATOR, who=name).status_code == 400


def test_the_cookie_of_a_log_in_is_kept_from_scripts_and_other_sites(stranger: Browser) -> None:
    came = stranger.send("/login", follow=False, who="anna", password=OPERATOR, next="/")

    cookie = next(one for one in came.headers.get_list("set-cookie") if one.startswith("sms_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Max-Age=43200" in cookie
    assert "Secure" not in cookie  # this is http


def test_behind_https_the_cookie_goes_by_https_alone(stranger: Browser) -> None:
    stranger.get("/login")
    stranger.http.headers["x-forwarded-proto"] = "https"

    came = stranger.send("/login", follow=False, who="anna", password=OPERATOR, next="/")

    assert "Secure" in next(one for one in came.headers.get_list("set-cookie") if one.startswith("sms_session="))


def test_a_log_in_ends_after_twelve_hours(operator: Browser, clock: Clock) -> None:
    clock.advance(hours=11, minutes=59)
    assert operator.http.get("/", follow_redirects=False).status_code == 200

    clock.advance(minutes=1)

    assert operator.http.get("/", follow_redirects=False).status_code == 303


def test_a_log_out_ends_it_for_whoever_has_the_cookie(operator: Browser) -> None:
    cookies = dict(operator.http.cookies)
    operator.get("/")

    operator.send("/logout")

    operator.http.cookies.update(cookies)
    assert operator.http.get("/", follow_redirects=False).status_code == 303


def test_a_log_out_by_get_is_no_log_out(operator: Browser) -> None:
    assert operator.get("/logout").status_code == 404
    assert operator.get("/").status_code == 200


def test_a_restart_logs_everybody_out(
    operator: Browser, a_settings: Callable[..., Settings], sessions: sessionmaker[Session], clock: Clock
) -> None:
    app = make_app(a_settings(web_password=OPERATOR), sessions, now=clock)
    with serving(app) as url:
        after = Browser(url)
        after.http.cookies.update(operator.http.cookies)

        assert after.http.get("/", follow_redirects=False).status_code == 303
        after.close()


def test_a_viewer_changes_nothing(viewer: Browser) -> None:
    viewer.get("/")

    for path in ("/", "/messages", "/attention", "/send", "/anything"):
        assert viewer.send(path).status_code == 403


def test_a_viewer_chooses_language_and_theme(viewer: Browser) -> None:
    viewer.get("/")

    assert viewer.send("/theme", theme="dark", next="/").status_code == 200
    assert 'data-bs-theme="dark"' in viewer.get("/").text


def test_after_five_wrong_passwords_an_address_waits_longer_and_longer(stranger: Browser, clock: Clock) -> None:
    answers = [stranger.log_in("wrong").status_code for _ in range(FREE + 1)]
    assert answers == [401] * FREE + [429]
    first = stranger.log_in(OPERATOR)
    assert (first.status_code, first.headers["retry-after"]) == (429, "2")

    clock.advance(seconds=2)
    assert stranger.log_in("wrong").status_code == 401
    second = stranger.log_in(OPERATOR)
    assert (second.status_code, second.headers["retry-after"]) == (429, "4")

    clock.advance(seconds=4)
    assert stranger.log_in(OPERATOR).status_code == 200


def test_whoever_knows_the_password_is_free_to_err_again(stranger: Browser) -> None:
    for _ in range(FREE - 1):
        stranger.log_in("wrong")
    stranger.log_in(OPERATOR)
    stranger.get("/")
    stranger.send("/logout")

    assert [stranger.log_in("wrong").status_code for _ in range(FREE)] == [401] * FREE


def test_guesses_from_many_addresses_wait_too_but_never_long(database_url: str) -> None:  # noqa: ARG001
    throttle, clock = Throttle(), Clock()

    waits = [throttle.wait(f"192.0.2.{number}", now=clock()) for number in range(FREE_OVER_ALL + 1)]

    assert waits[:-1] == [timedelta(0)] * FREE_OVER_ALL
    assert waits[-1] == timedelta(seconds=2)
    for number in range(100):
        clock.advance(seconds=10)
        assert throttle.wait(f"198.51.100.{number}", now=clock()) == timedelta(0)


def test_addresses_of_one_network_of_ipv6_are_one(database_url: str) -> None:  # noqa: ARG001
    throttle, clock = Throttle(), Clock()

    waits = [throttle.wait(f"2001:db8::{number}", now=clock()) for number in range(FREE + 1)]

    assert waits[-1] == timedelta(seconds=2)


def test_figures_are_for_those_who_know_a_password(stranger: Browser) -> None:
    assert stranger.get("/metrics").status_code == 401
    assert stranger.get("/metrics", headers=basic("prometheus", "guessed")).status_code == 401
    for password in (OPERATOR, VIEWER):
        answer = stranger.get("/metrics", headers=basic("prometheus", password))
        assert answer.status_code == 200
        assert "sms_database_up 1.0" in answer.text


@pytest.mark.parametrize("header", ["Basic", "Basic =", "Basic /w==", "Bearer YTpi", "Basic YWI="])
def test_a_broken_basic_header_is_no_password(stranger: Browser, header: str) -> None:
    assert stranger.get("/metrics", headers={"authorization": header}).status_code == 401


def test_guessing_at_the_figures_is_throttled_with_the_rest(stranger: Browser) -> None:
    answers = [stranger.get("/metrics", headers=basic("x", "wrong")).status_code for _ in range(FREE + 1)]

    assert answers == [401] * FREE + [429]
    assert stranger.log_in(OPERATOR).status_code == 429


def test_whether_it_lives_is_no_secret(stranger: Browser) -> None:
    answer = stranger.get("/healthz")

    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_a_setting_may_hold_the_hash_of_a_password(a_settings: Callable[..., Settings]) -> None:
    passwords = Passwords(a_settings(web_password=hashed("a word"), web_viewer_password="another"))

    assert [passwords.role_of(one) for one in ("a word", "another", "third")] == [Role.OPERATOR, Role.VIEWER, None]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"web_password": "$argon2id$broken"}, "SMS_WEB_PASSWORD"),
        ({"web_password": "same", "web_viewer_password": "same"}, "SMS_WEB_VIEWER_PASSWORD"),
    ],
    ids=["a broken hash", "one password for both roles"],
)
def test_passwords_that_cannot_be_stop_the_start(
    a_settings: Callable[..., Settings], changes: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        Passwords(a_settings(**changes))


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_the_right_password_of_a_viewer_buys_no_more_guesses_at_the_operators(stranger: Browser, clock: Clock) -> None:
    for _ in range(FREE):
        assert stranger.log_in("guessed").status_code == 401
    clock.advance(seconds=2)

    assert stranger.log_in(VIEWER).status_code == 200
    stranger.get("/")
    stranger.send("/logout")

    assert [stranger.log_in("guessed").status_code for _ in range(2)] == [401, 429]


def test_whoever_asks_for_the_figures_all_the_time_buys_no_more_guesses(stranger: Browser) -> None:
    for _ in range(FREE - 1):
        stranger.log_in("guessed")
    assert stranger.get("/metrics", headers=basic("prometheus", OPERATOR)).status_code == 200

    assert [stranger.log_in("guessed").status_code for _ in range(2)] == [401, 429]


def test_slips_of_long_ago_count_no_more_however_often_somebody_comes(database_url: str) -> None:  # noqa: ARG001
    throttle, clock = Throttle(), Clock()

    for _ in range(2 * FREE_OVER_ALL):
        assert throttle.wait("192.0.2.7", now=clock()) == timedelta(0)  # a slip
        for _ in range(4):
            clock.advance(minutes=5)
            assert throttle.wait("192.0.2.7", now=clock()) == timedelta(0)
            throttle.right("192.0.2.7", forgives=False)


@pytest.mark.parametrize(
    ("one", "other"), [("::ffff:192.0.2.7", "::ffff:192.0.2.8"), ("192.0.2.7", "192.0.2.8")], ids=["mapped", "plain"]
)
def test_addresses_of_ipv4_are_not_one_on_a_socket_for_both(database_url: str, one: str, other: str) -> None:  # noqa: ARG001
    throttle, clock = Throttle(), Clock()
    for _ in range(FREE):
        throttle.wait(one, now=clock())

    assert throttle.wait(other, now=clock()) == timedelta(0)
    assert throttle.wait("192.0.2.7", now=clock()) == timedelta(seconds=2)


@pytest.mark.parametrize("hashed_one", ["web_password", "web_viewer_password"])
def test_one_password_for_both_roles_is_found_behind_a_hash(
    a_settings: Callable[..., Settings], hashed_one: str
) -> None:
    both = {"web_password": "same", "web_viewer_password": "same"} | {hashed_one: hashed("same")}

    with pytest.raises(SettingsError, match="SMS_WEB_VIEWER_PASSWORD must be another"):
        Passwords(a_settings(**both))


def test_two_hashes_of_one_password_open_the_lesser_role(a_settings: Callable[..., Settings]) -> None:
    passwords = Passwords(a_settings(web_password=hashed("same"), web_viewer_password=hashed("same")))

    assert passwords.role_of("same") == Role.VIEWER


def test_the_hash_itself_is_no_password(a_settings: Callable[..., Settings]) -> None:
    hash_ = hashed("a word")

    assert Passwords(a_settings(web_password=hash_)).role_of(hash_) is None


def test_a_second_log_in_ends_the_first(operator: Browser) -> None:
    before = dict(operator.http.cookies)
    operator.log_in(OPERATOR, who="bella")

    operator.http.cookies.clear()
    operator.http.cookies.update(before)
    assert operator.http.get("/", follow_redirects=False).status_code == 303
