"""How looks into a worker become shares of rooms and bars of a picture."""

import pytest

from bench.flame import Bar, bars, room_of, shares, stacks_of

OUTER = "Takers._take (worker/takers.py:108)"
RAW = f"""\
process 7:"celery";{OUTER};Intake.read (worker/intake.py:88);_send (worker/orders.py:169) 30
process 7:"celery";{OUTER};Intake.read (worker/intake.py:88);_send (worker/orders.py:170) 30
process 7:"celery";{OUTER};LaneLists.take (worker/lanes.py:61);Redis.execute_command (redis/client.py:9) 40
"""


def test_lines_of_one_function_stand_together() -> None:
    found = list(bars(stacks_of(RAW)))

    takes = "Takers._take (worker/takers.py"
    assert found[0] == Bar(0, 0.0, 1.0, takes, "reading")
    assert [(bar.depth, bar.left, bar.width) for bar in found[1:3]] == [(1, 0.0, 0.6), (2, 0.0, 0.6)]
    assert [(bar.left, bar.width, bar.room) for bar in found[3:]] == [(0.6, 0.4, "redis")] * 2


def test_each_look_is_in_one_room() -> None:
    assert shares(stacks_of(RAW)) == {"reading": 0.6, "redis": 0.4}


@pytest.mark.parametrize(
    ("innermost", "room"),
    [
        pytest.param("info (structlog/_native.py:5)", "logging", id="a line of a log, wherever it is written"),
        pytest.param(
            "execute (psycopg/cursor.py:9)", "recording", id="what a library does for the room that called it"
        ),
    ],
)
def test_the_innermost_frame_that_tells_a_room_counts(innermost: str, room: str) -> None:
    assert room_of(("_worker (thread.py:1)", "accept_all (worker/store/outcomes.py:50)", innermost)) == room


def test_what_tells_no_room_is_other() -> None:
    assert room_of(("asynloop (celery/worker/loops.py:97)",)) == "other"
