"""What so many messages a day need, on paper."""

from bench.sizing import GIB, Costs, rows

COSTS = Costs(
    worker=0.0001,
    postgres=0.00004,
    redis=0.00001,
    question=0.0001,
    question_postgres=0.00002,
    waiting_bytes=1_000,
    aof_bytes=1_200,
    kept_bytes=GIB / 1e6,
    wal_bytes=(GIB / 1e6, 1.5 * GIB / 1e6, 2 * GIB / 1e6),
)


def test_the_peak_is_five_times_the_average() -> None:
    found = rows(COSTS, 86_400_000)

    assert found["messages a second at the peak"] == "5,000"
    assert found["worker processes"] == "4 (4 cores)"
    assert found["PostgreSQL, cores"] == "1"
    assert found["connections to the gateway, posts"] == "50"
    assert found["connections to the gateway, questions"] == "7,500"


def test_bytes_are_those_of_all_messages() -> None:
    found = rows(COSTS, 1_000_000)

    assert found["PostgreSQL, disk for 30 days"] == "30 GiB"
    assert found["PostgreSQL, WAL a day"] == "1 GiB to 2 GiB"


def test_there_are_always_two_workers() -> None:
    assert rows(COSTS, 1_000)["worker processes"].startswith("2 ")
