"""A Chromium for each file of tests, and the web page over a house in which something has happened."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import chromium
import pytest
from chromium import Watched, watched
from lived_pages import OPERATOR, LivedPages, lived_pages
from playwright.sync_api import Browser

Open = Callable[..., Watched]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for the whole session: while Playwright lives, its loop runs in this thread, and no other can."""
    if not chromium.program():
        pytest.skip("no Chromium on this machine: install Debian's chromium, or name one with CHROMIUM")
    with chromium.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivedPages]:
    """One for all tests of a file that only look."""
    with lived_pages(sqlite_template, tmp_path_factory.mktemp("lived")) as pages:
        yield pages


@pytest.fixture(scope="module")
def cookies(browser: Browser, pages: LivedPages) -> Callable[[str], Any]:
    """Gives those of somebody who has logged in, once for each role."""
    kept: dict[str, Any] = {}

    def of(role: str) -> Any:
        if role not in kept:
            kept[role] = pages.cookies(browser, role=role)
        return kept[role]

    return of


@pytest.fixture
def look(browser: Browser, pages: LivedPages, cookies: Callable[[str], Any]) -> Iterator[Open]:
    """Opens a page of `pages` as an operator, or as whoever *role* names; None: a stranger.

    At the end no page of them may have complained of anything.
    """
    opened: list[Watched] = []
    with ExitStack() as stack:

        def look(path: str | None = "/", *, role: str | None = OPERATOR, **how: Any) -> Watched:
            state = {"storage_state": cookies(role)} if role else {}
            one = stack.enter_context(watched(browser, pages.url, **state | how))
            opened.append(one)
            if path is not None:
                one.open(path)
            return one

        yield look
        assert [wrong for one in opened for wrong in one.wrong()] == []
