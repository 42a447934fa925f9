"""The web page, served for real, and people who use it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher
from builders import Clock
from sqlalchemy.orm import Session, sessionmaker
from web_pages import OPERATOR, VIEWER, Browser, serving

from worker.settings import Settings
from worker.web.app import make_app


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def a_settings(database_url: str) -> Callable[..., Settings]:
    """Settings of a house whose gateway is away."""

    def made(**changes: Any) -> Settings:
        known: dict[str, Any] = {
            "database_url": database_url,
            "redis_url": "redis://127.0.0.1:9/0",
            "gateway_url": "http://127.0.0.1:9/smsgateway",
            "gateway_login": "login",
            "gateway_password": "not-to-be-seen",
        }
        return Settings(_env_file=None, **(known | changes))

    return made


@pytest.fixture
def guarded_page(a_settings: Callable[..., Settings], sessions: sessionmaker[Session], clock: Clock) -> Iterator[str]:
    """The address of a page with both passwords."""
    easy = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # a test is no attack
    settings = a_settings(web_password=easy.hash(OPERATOR), web_viewer_password=easy.hash(VIEWER))
    with serving(make_app(settings, sessions, now=clock)) as url:
        yield url


@pytest.fixture
def open_page(a_settings: Callable[..., Settings], sessions: sessionmaker[Session], clock: Clock) -> Iterator[str]:
    """The address of a page without a password."""
    with serving(make_app(a_settings(), sessions, now=clock)) as url:
        yield url


@pytest.fixture
def local(open_page: str) -> Iterator[Browser]:
    """Somebody at this machine; no password is set."""
    browser = Browser(open_page)
    browser.get("/")
    yield browser
    browser.close()


@pytest.fixture
def stranger(guarded_page: str) -> Iterator[Browser]:
    """Nobody is logged in."""
    browser = Browser(guarded_page)
    yield browser
    browser.close()


@pytest.fixture
def operator(guarded_page: str) -> Iterator[Browser]:
    browser = Browser(guarded_page)
    assert browser.log_in(OPERATOR).status_code == 200
    yield browser
    browser.close()


@pytest.fixture
def viewer(guarded_page: str) -> Iterator[Browser]:
    browser = Browser(guarded_page)
    assert browser.log_in(VIEWER, who="vera").status_code == 200
    yield browser
    browser.close()
