"""How much chance a run takes.

A usual run takes the same examples every time. ``HYPOTHESIS_PROFILE=long .venv/bin/pytest tests/fuzz --timeout=0``
takes many more, other ones each time; what fails is shown as its smallest example, and tried again first by the next
such run.
"""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

BUSY_MACHINE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
NO_EXPLAINING = [phase for phase in Phase if phase is not Phase.explain]  # it takes long, and tells little of a walk

settings.register_profile(
    "short",
    max_examples=210,
    stateful_step_count=20,
    derandomize=True,
    deadline=None,
    suppress_health_check=BUSY_MACHINE,
    phases=NO_EXPLAINING,
)
settings.register_profile(
    "long",
    settings.get_profile("short"),
    max_examples=20_000,
    stateful_step_count=60,
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    print_blob=True,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


@pytest.fixture
def fast_sessions(engine: Engine, sessions: sessionmaker[Session]) -> sessionmaker[Session]:
    """Commits that do not wait for the disk: nothing here pulls the plug, and there are tens of thousands of them."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    return sessions


@pytest.fixture
def quiet() -> Iterator[None]:
    """No lines about trouble that is meant."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)
