"""Behind a pooler that lets one log in while the database is down, its trouble is known for what it is."""

import time
from collections.abc import Iterator, Sequence

import pytest
from builders import Sessions, a_submission, states_of, stored
from sqlalchemy import text
from sqlalchemy.engine import make_url
from wires import Pooler, listening

from worker.gateway import OutgoingSms
from worker.gateway.memory import MemoryGateway
from worker.store import engine as engines
from worker.store.engine import DATABASE_TROUBLE, make_engine, make_sessions

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def pooler(database_url: str) -> Iterator[Pooler]:
    url = make_url(database_url)
    pooler = Pooler((url.host or "127.0.0.1", url.port or 5432))
    with listening(pooler):
        yield pooler


@pytest.fixture
def sessions(database_url: str, pooler: Pooler) -> Iterator[Sessions]:
    url = make_url(database_url).set(host="127.0.0.1", port=pooler.port)
    engine = make_engine(url.render_as_string(hide_password=False))
    yield make_sessions(engine)
    engine.dispose()


def test_an_answer_in_hand_waits_until_the_database_is_back(sessions: Sessions, pooler: Pooler) -> None:
    waits: list[float] = []

    def fall(_: Sequence[OutgoingSms]) -> None:
        pooler.down = True

    def wait(seconds: float) -> None:
        waits.append(seconds)
        pooler.down = len(waits) < 4

    stored(sessions)
    a_submission(sessions, MemoryGateway(during=fall), wait=wait).post_next()
    pooler.down = False

    assert (states_of(sessions), len(waits)) == (["submitted"], 4)


def test_what_it_raises_is_trouble_of_the_database_even_where_all_connections_were_idle(
    sessions: Sessions, pooler: Pooler, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sessions() as session:
        session.execute(text("SELECT 1"))
    monkeypatch.setattr(engines, "IDLE_SECONDS", -time.monotonic())
    pooler.down = True

    for _ in range(3):
        with sessions() as session, pytest.raises(DATABASE_TROUBLE):
            session.execute(text("SELECT 1"))
