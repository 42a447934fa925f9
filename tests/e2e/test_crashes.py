"""What is broken on purpose, and what is counted afterwards at the gateway."""

import random
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from servers import PostgresServer, wait_for
from sqlalchemy import text
from system import System, phones

from migrations.schema import upgrade
from worker.embedded.valkey import Valkey
from worker.sandbox.faults import Fault
from worker.sandbox.running import RunningSandbox

KILLS = 6


def let_leases_run_out(house: System) -> None:
    """As if the dead workers' leases were over; waiting for it would only be slower."""
    with house.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE batches SET lease_until = created_at, begins_by = CASE WHEN begins_by IS NULL THEN NULL "
                "ELSE created_at END WHERE state = 'posting'"
            )
        )
        connection.execute(text("UPDATE messages SET next_poll_at = submitted_at WHERE state = 'submitted'"))


def has_seen(house: System, requests: int) -> bool:
    """Whether so many posts have reached the gateway."""
    return bool(house.control.stats()["send_requests"] >= requests)


def settled(house: System, ordered: int) -> dict[str, int] | None:
    """The states, once every message is delivered or unconfirmed."""
    states = house.states()
    return states if sum(states.values()) == ordered and not states.keys() - {"delivered", "unconfirmed"} else None


def test_workers_that_are_killed_lose_nothing_and_post_nothing_twice(house: System) -> None:
    """SIGKILL at random moments while orders are taken and posted: each is delivered once, or unconfirmed."""
    dice = random.Random(20261122)
    house.control.change(latency_seconds=0.05)
    house.beat()
    ordered = 0
    for kill in range(KILLS):
        for phone in phones(120, first=1 + ordered):
            house.send(phone, lane=dice.choice(["otp", "normal", "bulk"]))
        ordered += 120
        # They lie there before anybody posts them: who orders one by one is slower than a worker.
        seen = house.control.stats()["send_requests"] + dice.randrange(1, 120 // 10)
        worker = house.worker(name=f"victim{kill}", wait=False, SMS_BATCH_MAX_MESSAGES="10")
        wait_for(partial(has_seen, house, seen))
        worker.kill()
    house.worker(name="survivor")

    wait_for(lambda: sum(house.states().values()) == ordered, seconds=60)
    let_leases_run_out(house)
    states = wait_for(lambda: settled(house, ordered), seconds=60)
    assert states

    assert set(house.posted().values()) == {1}, "a message was posted twice"
    taken_or_not = {phone for (phone,) in house.rows("SELECT phone FROM messages WHERE state = 'unconfirmed'")}
    assert house.posted().keys() | taken_or_not == set(phones(ordered))
    assert states["delivered"] > 0


def test_a_post_in_flight_at_a_warm_shutdown_is_finished_and_stored(house: System) -> None:
    house.control.change(latency_seconds=2.0)
    worker = house.worker()

    for phone in phones(20):
        house.send(phone)
    wait_for(house.posted)
    worker.stop()

    states = house.states()
    assert not states.keys() - {"submitted", "queued"}, states
    assert states["submitted"] == sum(house.posted().values())


@pytest.mark.parametrize(
    ("fault", "after", "posted"),
    [
        pytest.param(Fault("cut-after"), "unconfirmed", 1, id="taken, then cut"),
        pytest.param(Fault("cut-before"), "unconfirmed", 0, id="cut before it was read"),
        pytest.param(Fault("hang"), "unconfirmed", 1, id="taken, never answered"),
        pytest.param(Fault("bad-gateway-after"), "unconfirmed", 1, id="502 in HTML"),
        pytest.param(Fault("half-json"), "unconfirmed", 1, id="half a JSON"),
        pytest.param(Fault("refuse-connections"), "queued", 0, id="refused connection"),
        pytest.param(Fault("forbidden"), "queued", 0, id="403"),
        pytest.param(Fault("error", error_no=103), "queued", 0, id="limit is over"),
    ],
)
def test_each_fault_of_the_gateway_has_its_one_outcome(house: System, fault: Fault, after: str, posted: int) -> None:
    """And what nobody knows is never posted again, however often the bells ring once the gateway is well."""
    house.control.set_faults(fault)
    worker = house.worker(SMS_GATEWAY_READ_TIMEOUT_SECONDS="1")
    house.beat()

    house.send("998901234567")
    worker.wait_until_logged("account_paused" if fault.kind in {"forbidden", "error"} else "circuit_opened")
    house.wait_for_states(**{after: 1})
    house.control.clear_faults()
    with house.engine.begin() as connection:
        connection.execute(text("UPDATE accounts SET probe_at = paused_at WHERE state = 'paused'"))
        connection.execute(text("UPDATE circuits SET probe_at = opened_at WHERE state = 'open'"))
    house.send("998907654321")
    wait_for(lambda: house.rows("SELECT state FROM messages WHERE phone = '998907654321'") == [("delivered",)])

    first = "delivered" if after == "queued" else "unconfirmed"
    wait_for(lambda: house.rows("SELECT state FROM messages WHERE phone = '998901234567'") == [(first,)])
    assert house.posted()["998901234567"] == (1 if first == "delivered" else posted)


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    folder = tmp_path / "valkey"
    folder.mkdir()
    server = Valkey(folder)
    server.start()
    yield server
    server.stop()


def test_a_broker_that_is_killed_and_comes_back_loses_no_order(
    tmp_path: Path, database_url: str, sandbox: RunningSandbox, own_valkey: Valkey
) -> None:
    house = System(tmp_path, redis_url=own_valkey.url, database_url=database_url, sandbox=sandbox)
    try:
        worker = house.worker()
        house.beat()
        for phone in phones(300):
            house.send(phone)
        own_valkey.kill()
        own_valkey.start()
        for phone in phones(100, first=1000):
            house.send(phone)

        house.wait_for_states(delivered=400, seconds=120)

        assert worker.is_alive()
        assert set(house.posted().values()) == {1}
    finally:
        house.stop()


def test_a_database_that_is_killed_and_comes_back_loses_no_order(
    tmp_path: Path, redis_url: str, sandbox: RunningSandbox
) -> None:
    server = PostgresServer(fsync=True)
    server.start()
    upgrade(server.url)
    house = System(tmp_path, redis_url=redis_url, database_url=server.url, sandbox=sandbox)
    try:
        house.worker()
        house.beat()
        house.control.change(latency_seconds=0.1)
        for phone in phones(200):
            house.send(phone)
        wait_for(lambda: house.control.stats()["send_requests"] > 0)
        server.kill(signal.SIGKILL)
        for phone in phones(200, first=1000):
            house.send(phone)
        server.start()

        wait_for(lambda: sum(house.states().values()) == 400, seconds=60)
        let_leases_run_out(house)
        wait_for(lambda: settled(house, 400), seconds=120)

        assert set(house.posted().values()) == {1}
    finally:
        house.stop()
        server.remove()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_log_line_holds_a_text_a_phone_or_a_password(house: System) -> None:
    """Not even where things go wrong: unknown tasks, broken orders, a gateway that cuts."""
    words, phone = "Maxfiy kod 739155", "998909998877"
    house.env["SMS_GATEWAY_PASSWORD"] = "parol-7391"
    house.control.set_faults(Fault("cut-after"))
    worker = house.worker("--loglevel", "DEBUG")
    house.beat()

    house.send(phone, words)
    house.send(phone, words, callback={"nonsense": 1})
    house.producer.send_task("sms.sent", args=[phone, words], queue="sms.otp")
    house.producer.send_task("no.such.task", args=[phone, words], queue="sms.upkeep")
    house.producer.send_task("sms.sweep", args=[phone, words], queue="sms.upkeep")
    wait_for(lambda: len(house.rows("SELECT id FROM refused_intakes")) == 3)
    wait_for(lambda: sum(house.states().values()) == 1)
    worker.wait_until_logged("circuit_opened")
    house.stop()

    logs = worker.log.read_text() + (house.folder / "beat.log").read_text()
    assert "orders_taken" in logs
    for secret in (words, phone, "parol-7391"):
        assert secret not in logs
    kept = {reason for (reason,) in house.rows("SELECT reason FROM refused_intakes")}
    assert kept == {"callback_invalid", "task_unknown"}
