"""A world to be broken. There is one at a time: the tests of one database follow each other and share it.

A world in which a test failed is given up, so that its account spoils no other test.
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.crew import STOP_SECONDS
from tests.chaos.database import Postgres, Sqlite
from tests.chaos.world import World

HERE = Path(__file__).parent


class Worlds:
    """The world that is there now, if any."""

    def __init__(self, new_folder: Callable[[str], Path]) -> None:
        self._new_folder = new_folder
        self._world: World | None = None

    def of(self, kind: str) -> World:
        """The world with this kind of database; that of another one ends."""
        if self._world and self._world.database.kind != kind:
            self.end()
        if self._world is None:
            folder = self._new_folder(kind)
            self._world = World(folder, Postgres() if kind == "postgresql" else Sqlite(folder))
            self._world.start()
        return self._world

    def end(self) -> None:
        """End every process of the world."""
        world, self._world = self._world, None
        if world:
            world.stop()
            assert not world.crew.stuck, f"did not go within {STOP_SECONDS} s: see their logs in {world.folder}"


WORLDS = pytest.StashKey[Worlds]()


@pytest.fixture(scope="session")
def worlds(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    worlds = pytestconfig.stash[WORLDS] = Worlds(tmp_path_factory.mktemp)
    yield worlds
    worlds.end()


@pytest.fixture
def on_postgresql(worlds: Worlds) -> World:
    """Everything running, over a PostgreSQL of its own."""
    return worlds.of("postgresql")


@pytest.fixture
def on_sqlite(worlds: Worlds) -> World:
    """The same over an SQLite file."""
    return worlds.of("sqlite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one database follow each other."""
    places = [place for place, item in enumerate(items) if item.path.parent == HERE]
    ours = sorted((items[place] for place in places), key=_is_of_sqlite)
    for place, item in zip(places, ours, strict=True):
        items[place] = item


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """No idle world beside other tests, and none that is broken."""
    report = yield
    last = call.when == "teardown" and not _goes_on(item)
    if WORLDS in item.config.stash and (last or report.failed):
        item.config.stash[WORLDS].end()
    return report


def _goes_on(item: pytest.Item) -> bool:
    items = item.session.items
    after = items.index(item) + 1
    return after < len(items) and items[after].path.parent == HERE


def _is_of_sqlite(item: pytest.Item) -> bool:
    return "sqlite" in item.name or "on_sqlite" in getattr(item, "fixturenames", ())
