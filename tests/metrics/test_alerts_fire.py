"""Each alert fires when what it watches is really broken in a running house, and is silent before."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests
from servers import PostgresServer, wait_for
from sqlalchemy import text
from system import System, phones
from watched import exporter, rules, says, scrape, total_of, value_of

from migrations.schema import upgrade
from worker.embedded import processes
from worker.embedded.valkey import Valkey
from worker.sandbox.faults import Fault
from worker.sandbox.running import RunningSandbox

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not here"),
]

#: every alert → the test below that breaks what it watches
BROKEN_BY: dict[str, str] = {}


def breaks(*alerts: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Says which alerts a test makes fire."""

    def told(test: Callable[..., None]) -> Callable[..., None]:
        BROKEN_BY.update(dict.fromkeys(alerts, test.__name__))
        return test

    return told


@contextmanager
def healthy(house: System, **env: str) -> Iterator[tuple[str, str]]:
    """A working house with traffic: its exporter's address, and what was scraped there, of which no alert fires."""
    house.env |= env
    house.beat()
    house.worker()
    house.send(phones(1, first=9_000_001)[0])
    house.wait_for_states(delivered=1)
    with exporter(house) as address:
        wait_for(lambda: value_of(scrape(address), "sms_last_bell_seconds") is not None)
        wait_for(lambda: total_of(scrape(address), "sms_orders_total", outcome="stored") >= 1)
        before = scrape(address)
        assert says(house.folder, before, before, [], all_of_them=True) == ""
        yield address, before


def fire(house: System, address: str, before: str, *alerts: str, seconds: float = 40) -> None:
    """Return when what is scraped makes *alerts* fire; the published counts come some seconds later."""
    said = ["not asked yet"]

    def fires() -> bool:
        said[0] = says(house.folder, before, scrape(address), alerts)
        return not said[0]

    try:
        wait_for(fires, seconds=seconds)
    except AssertionError:
        pytest.fail(said[0])


def change(house: System, statement: str) -> None:
    """Let time have passed for some rows: waiting for it would only be slower."""
    with house.engine.begin() as connection:
        connection.execute(text(statement))


def ago(house: System, modifier: str) -> str:
    """That moment, as SQLite keeps it."""
    (row,) = house.rows(f"SELECT strftime('%Y-%m-%d %H:%M:%f', 'now', '{modifier}') || '000'")
    return str(row[0])


@breaks("SmsMetricsAbsent")
def test_an_exporter_that_is_gone(house: System) -> None:
    with exporter(house) as address:
        before = scrape(address)
        healthy_too = says(house.folder, before, before, ["SmsMetricsAbsent"])

    assert "SmsMetricsAbsent" in healthy_too
    fire(house, address, before, "SmsMetricsAbsent")


@breaks("SmsDatabaseDown")
def test_a_database_that_is_stopped(house: System) -> None:
    server = PostgresServer()
    server.start()
    upgrade(server.url)
    house.env["SMS_DATABASE_URL"] = server.url

    try:
        with exporter(house) as address:
            before = scrape(address)
            assert "SmsDatabaseDown" in says(house.folder, before, before, ["SmsDatabaseDown"])
            server.stop()

            fire(house, address, before, "SmsDatabaseDown")
    finally:
        server.remove()


@breaks("SmsRedisDown")
def test_a_redis_that_is_stopped(house: System, tmp_path: Path) -> None:
    server = Valkey(tmp_path / "valkey")
    server.start()
    house.env["SMS_REDIS_URL"] = server.url

    with exporter(house) as address:
        before = scrape(address)
        assert "SmsRedisDown" in says(house.folder, before, before, ["SmsRedisDown"])
        server.stop()

        fire(house, address, before, "SmsRedisDown")


@breaks("SmsNoWorker", "SmsOrdersUntaken")
def test_a_worker_that_is_killed(house: System) -> None:
    with healthy(house) as (address, before):
        house.kill_workers()
        house.send(phones(1)[0])

        fire(house, address, before, "SmsNoWorker", "SmsOrdersUntaken")


@breaks("SmsNoBell")
def test_a_beat_that_is_stopped(house: System) -> None:
    with healthy(house) as (address, before):
        house.stop_beat()
        house.kill_workers()
        house.worker(name="without_beat")
        change(house, f"UPDATE workers SET bell_at = '{ago(house, '-2 minutes')}' WHERE bell_at IS NOT NULL")  # noqa: S608

        fire(house, address, before, "SmsNoBell")


@breaks("SmsAccountHeld", "SmsOtpWaiting", "SmsNormalWaiting", "SmsBulkWaiting")
def test_posting_that_a_person_holds(house: System) -> None:
    with healthy(house) as (address, before):
        house.command("pause")
        for lane in ("otp", "normal", "bulk"):
            house.send(phones(1)[0], lane=lane)
        house.wait_for_states(delivered=1, queued=3)
        change(house, f"UPDATE messages SET send_at = '{ago(house, '-5 hours')}' WHERE state = 'queued'")  # noqa: S608

        fire(house, address, before, "SmsAccountHeld", "SmsOtpWaiting", "SmsNormalWaiting", "SmsBulkWaiting")


@breaks("SmsAccountPaused")
def test_a_login_that_the_gateway_refuses(house: System) -> None:
    with healthy(house) as (address, before):
        house.control.set_faults(Fault("error", error_no=101))
        house.send(phones(1)[0])

        fire(house, address, before, "SmsAccountPaused")


@breaks("SmsUnconfirmed", "SmsUnconfirmedOld", "SmsPostingCircuitOpen", "SmsGatewayErrors")
def test_posts_that_are_cut_off(house: System) -> None:
    with healthy(house, SMS_BATCH_MAX_MESSAGES="1") as (address, before):
        house.control.set_faults(Fault("bad-gateway-after"))
        for phone in phones(5):
            house.send(phone)
        wait_for(lambda: house.states().get("unconfirmed", 0) >= 3)
        change(house, f"UPDATE messages SET posted_at = '{ago(house, '-2 hours')}' WHERE state = 'unconfirmed'")  # noqa: S608

        fire(house, address, before, "SmsUnconfirmed", "SmsUnconfirmedOld", "SmsPostingCircuitOpen", "SmsGatewayErrors")


@breaks("SmsPollingCircuitOpen")
def test_questions_that_are_not_answered(house: System) -> None:
    with healthy(house) as (address, before):
        house.control.set_faults(Fault("bad-gateway-before", on=("status",)))
        for phone in phones(4):
            house.send(phone)

        fire(house, address, before, "SmsPollingCircuitOpen")


@breaks("SmsCallbacksFailing")
def test_receivers_that_are_not_there(house: System) -> None:
    settings = {"SMS_CALLBACK_SECRET": "a secret of sixteen", "SMS_CALLBACK_PRIVATE_ADDRESSES": "true"}
    with healthy(house, **settings) as (address, before):
        for phone in phones(5):
            house.send(phone, callback={"url": f"http://127.0.0.1:{processes.free_port()}/told"})

        fire(house, address, before, "SmsCallbacksFailing")


@breaks("SmsRefusalsRising")
def test_orders_without_a_phone(house: System) -> None:
    with healthy(house) as (address, before):
        for number in range(8):
            house.send(f"nobody {number}")

        fire(house, address, before, "SmsRefusalsRising")


@breaks("SmsUnknownStatus")
def test_a_word_that_the_gateway_never_said_before(house: System) -> None:
    with rewording(house.sandbox, b"elivered", b"ost in space") as url:
        house.env["SMS_GATEWAY_URL"] = url
        house.beat()
        house.worker()
        with exporter(house) as address:
            before = scrape(address)
            assert "SmsUnknownStatus" in says(house.folder, before, before, ["SmsUnknownStatus"])
            house.send(phones(1)[0])

            fire(house, address, before, "SmsUnknownStatus")


@breaks("SmsDeliveryDropped")
def test_phones_that_are_not_reached(house: System) -> None:
    with healthy(house) as (address, before):
        for number in range(24):
            house.send(f"9989{number + 10:02}{number + 10:02}0000", lane="bulk")

        fire(house, address, before, "SmsDeliveryDropped")


@breaks("SmsDeliverySlow")
def test_codes_that_arrive_late(house: System) -> None:
    with healthy(house) as (address, before):
        house.command("pause")
        for phone in phones(12):
            house.send(phone)
        house.wait_for_states(delivered=1, queued=12)
        late = ago(house, "-5 minutes")
        change(house, f"UPDATE messages SET send_at = '{late}', created_at = '{late}' WHERE state = 'queued'")  # noqa: S608
        house.command("resume")

        fire(house, address, before, "SmsDeliverySlow")


@breaks("SmsGatewaySlow")
def test_a_gateway_that_is_slow(house: System) -> None:
    with healthy(house, SMS_BATCH_MAX_MESSAGES="1") as (address, before):
        house.control.change(latency_seconds=7)
        for phone in phones(6):
            house.send(phone)

        fire(house, address, before, "SmsGatewaySlow", seconds=60)


@breaks("SmsWorkersDied")
def test_a_worker_that_dies_while_it_posts(house: System) -> None:
    with healthy(house) as (address, before):
        house.control.set_faults(Fault("hang"))
        house.send(phones(1)[0])
        wait_for(lambda: house.control.stats()["send_requests"] >= 2)
        house.kill_workers()
        change(house, "UPDATE batches SET lease_until = created_at WHERE state = 'posting'")
        house.worker(name="survivor")

        fire(house, address, before, "SmsWorkersDied")


def test_every_alert_is_made_to_fire_by_a_test(database_url: str) -> None:  # noqa: ARG001
    assert BROKEN_BY.keys() == {rule["alert"] for rule in rules()}


@contextmanager
def rewording(sandbox: RunningSandbox, word: bytes, instead: bytes) -> Iterator[str]:
    """The URL of a gateway that says *instead* of *word*."""

    class Reworded(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {"Content-Type": self.headers["Content-Type"]}
            root = sandbox.url.partition("/smsgateway")[0]
            answer = requests.post(root + self.path, data=body, headers=headers, timeout=30)
            said = answer.content.replace(word, instead)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Reworded)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/smsgateway"
    finally:
        server.shutdown()
        server.server_close()
