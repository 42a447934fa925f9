"""The web page over a house in which something has happened."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lived
from builders import NOON, Clock, Sessions
from playwright.sync_api import Browser
from pydantic import SecretStr
from web_pages import serving

from worker.settings import Settings
from worker.store.engine import make_engine, make_sessions
from worker.web.app import make_app

LOGIN = "sandbox"
OPERATOR, VIEWER = "operators only", "viewers only"


@dataclass(frozen=True)
class LivedPages:
    """Where they are, what they stand on, and what time it is there."""

    url: str
    sessions: Sessions
    clock: Clock

    def cookies(self, browser: Browser, *, role: str = OPERATOR, who: str = "aziza") -> Any:
        """Of somebody who is logged in with this password, as Playwright's ``storage_state``."""
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{self.url}/login")
        page.fill("#who", who)
        page.fill("#password", role)
        page.click("main button:not(.switch *)")
        page.wait_for_url(f"{self.url}/")
        kept = context.storage_state()
        context.close()
        return kept


def some_settings(**given: Any) -> Settings:
    known: dict[str, Any] = {
        "gateway_url": "http://127.0.0.1:9/smsgateway",
        "gateway_login": LOGIN,
        "redis_url": "redis://127.0.0.1:9/0",
        "gateway_password": SecretStr("x"),
        "gateway_nickname": lived.NICKNAME,
        "price_per_part": 100,
        "web_password": SecretStr(OPERATOR),
        "web_viewer_password": SecretStr(VIEWER),
    } | given
    return Settings(**known)


@contextmanager
def lived_pages(template: Path, folder: Path, **settings: Any) -> Iterator[LivedPages]:
    """Serve them over a copy of *template*, an empty migrated SQLite file, filled until `NOON`, when it stays."""
    file = folder / "lived.db"
    shutil.copy(template, file)
    engine = make_engine(f"sqlite:///{file}")
    sessions, clock = make_sessions(engine), Clock(NOON)
    lived.live(sessions, login=LOGIN, now=NOON)
    app = make_app(some_settings(database_url=f"sqlite:///{file}", **settings), sessions, now=clock)
    with serving(app) as url:
        yield LivedPages(url, sessions, clock)
    engine.dispose()
