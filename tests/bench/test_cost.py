"""What a message costs, beside what it costs with celery-batches, so that no change makes it dear unseen."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.contenders.ground import Ground
from bench.contenders.lineup import ALONE, N3
from bench.contenders.runs import Conditions, run
from bench.stage import stage

MOST = 0.35  #: of what celery-batches needs of CPU for a message: worker, database and Redis. It was 0.12 to 0.18
MESSAGES = 3_000
UNHURRIED = Conditions(latency_seconds=0.0, round=0, pace_per_second=0.0, pace_seconds=0.0)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with stage(tmp_path) as it, closing(Ground(it, tmp_path)) as ground:
        yield ground


def test_a_message_costs_a_small_share_of_what_celery_batches_needs(ground: Ground) -> None:
    theirs = run(ground, N3, MESSAGES // 3, UNHURRIED)
    ours = run(ground, ALONE, MESSAGES, UNHURRIED)

    assert (ours.lost, ours.doubled) == (0, 0)
    assert ours.cpu < theirs.cpu * MOST
