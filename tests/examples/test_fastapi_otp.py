"""One-time codes: what comes by SMS is right once, soon, and within a few tries; and nobody is sent many."""

import asyncio
import base64
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from builders import NOON, Clock
from celery import Celery
from fastapi_otp.app import create
from fastapi_otp.codes import Codes
from kombu import pools
from programs import Programs
from servers import wait_for
from sms_producer import Producer
from system import System

from worker.embedded import processes

PHONE, ANOTHER, A_THIRD, A_FOURTH = "998901234567", "998911234567", "998931234567", "998941234567"
GONE, MANY = HTTPStatus.GONE, HTTPStatus.TOO_MANY_REQUESTS


class Login:
    """The application in this process, at a clock that a test moves; what it ordered lies on a real broker."""

    def __init__(self, file: Path, redis_url: str) -> None:
        self.clock = Clock()
        self.server = redis.Redis.from_url(redis_url)
        celery = Celery(broker=redis_url, set_as_current=False)
        self.app = create(Codes(file, b"secret"), Producer(celery, "login"), self.clock)

    def ask(self, phone: str = PHONE, *, address: str = "192.0.2.1") -> httpx.Response:
        return asyncio.run(self._post("/codes", {"phone": phone}, address))

    def check(self, code_id: str, digits: str) -> httpx.Response:
        return asyncio.run(self._post("/codes/check", {"id": code_id, "code": digits}, "192.0.2.1"))

    def orders(self) -> list[dict[str, Any]]:
        """The fields of every SMS ordered, oldest first."""
        found: Any = self.server.lrange("sms.otp", 0, -1)
        return [json.loads(base64.b64decode(json.loads(raw)["body"]))[1] for raw in reversed(found)]

    async def _post(self, path: str, body: dict[str, str], address: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(address, 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://login.example") as client:
            return await client.post(path, json=body)


@pytest.fixture
def login(tmp_path: Path, redis_url: str) -> Iterator[Login]:
    login = Login(tmp_path / "otp.db", redis_url)
    yield login
    login.server.close()
    pools.reset()


def test_a_customer_logs_in_by_the_code_that_came(house: System, programs: Programs, broker_url: str) -> None:
    """As its README starts it; the code is read off what the gateway was given."""
    house.worker()
    house.beat()
    port = processes.free_port()
    server = "uvicorn --factory fastapi_otp.app:from_environment --port"
    env = {"OTP_SECRET": "secret", "OTP_DATABASE": str(house.folder / "otp.db")}
    programs.serve("login", port, server, BROKER_URL=broker_url, **env)

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        code = client.post("/codes", json={"phone": "+998 90 123-45-67"}).json()["id"]
        digits = wait_for(lambda: digits_for(house, PHONE))
        wrong = client.post("/codes/check", json={"id": code, "code": other_than(digits)})
        right = client.post("/codes/check", json={"id": code, "code": digits})
        again = client.post("/codes/check", json={"id": code, "code": digits})
        at_once = client.post("/codes", json={"phone": PHONE})
        others = [client.post("/codes", json={"phone": phone}).status_code for phone in (ANOTHER, A_THIRD, A_FOURTH)]

    house.wait_for_states(delivered=3)
    assert (wrong.json(), right.json(), again.status_code) == ({"right": False}, {"right": True}, GONE)
    assert at_once.status_code == MANY
    assert others == [HTTPStatus.ACCEPTED, HTTPStatus.ACCEPTED, MANY]  # three an hour from one address
    assert dict(house.posted()) == {PHONE: 1, ANOTHER: 1, A_THIRD: 1}
    assert {lane for (lane,) in house.rows("SELECT lane FROM messages")} == {"otp"}
    assert "…4567" in programs.log("login")
    assert digits not in programs.log("login")
    assert PHONE not in programs.log("login")


def test_a_code_is_ordered_with_a_key_and_the_end_of_its_life(login: Login) -> None:
    answer = login.ask()

    (order,) = login.orders()
    assert answer.status_code == HTTPStatus.ACCEPTED
    assert order["key"] == f"code-{answer.json()['id']}"
    assert order["expires_at"] == "2026-11-30T12:02:00+00:00"


def test_a_code_is_good_for_two_minutes(login: Login) -> None:
    code, digits = login.ask().json()["id"], digits_of(login.orders()[0]["text"])
    login.clock.advance(seconds=120)

    assert login.check(code, digits).status_code == GONE


def test_a_code_is_tried_five_times(login: Login) -> None:
    code, digits = login.ask().json()["id"], digits_of(login.orders()[0]["text"])

    wrong = [login.check(code, other_than(digits)).json() for _ in range(5)]

    assert wrong == [{"right": False}] * 5
    assert login.check(code, digits).status_code == GONE


def test_many_tries_at_once_are_no_more_than_five(login: Login) -> None:
    code, digits = login.ask().json()["id"], digits_of(login.orders()[0]["text"])

    answers = at_once(20, lambda: login.check(code, other_than(digits)).status_code)

    assert sorted(answers) == [HTTPStatus.OK] * 5 + [GONE] * 15


def test_a_right_code_is_right_once_however_many_bring_it(login: Login) -> None:
    code, digits = login.ask().json()["id"], digits_of(login.orders()[0]["text"])

    answers = at_once(5, lambda: login.check(code, digits).status_code)

    assert sorted(answers) == [HTTPStatus.OK] + [GONE] * 4


def test_a_code_of_nobody_is_no_code(login: Login) -> None:
    assert login.check("unknown", "123456").status_code == GONE


def test_a_phone_gets_its_next_code_after_a_minute(login: Login) -> None:
    login.ask()

    login.clock.advance(seconds=59)
    early = login.ask(address="192.0.2.2")
    login.clock.advance(seconds=int(early.headers["Retry-After"]))
    late = login.ask(address="192.0.2.3")

    assert (early.status_code, late.status_code) == (MANY, HTTPStatus.ACCEPTED)
    assert len(login.orders()) == 2


@pytest.mark.parametrize("same", ["phone", "address"])
def test_three_codes_an_hour(login: Login, same: str) -> None:
    def ask(number: int) -> httpx.Response:
        if same == "phone":
            return login.ask(address=f"192.0.2.{number}")
        return login.ask(f"99890123450{number}")

    asked = []
    for number in range(4):
        asked.append(ask(number).status_code)
        login.clock.advance(seconds=61)
    login.clock.at = NOON
    login.clock.advance(hours=1)

    assert asked == [HTTPStatus.ACCEPTED] * 3 + [MANY]
    assert ask(4).status_code == HTTPStatus.ACCEPTED


@pytest.mark.parametrize(
    ("addresses", "last"),
    [
        pytest.param("2001:db8:1:2::{}", MANY, id="of one network of IPv6"),
        pytest.param("2001:db8:1:{}::1", HTTPStatus.ACCEPTED, id="of several networks"),
        pytest.param("::ffff:192.0.2.{}", HTTPStatus.ACCEPTED, id="of IPv4 in the clothes of IPv6"),
    ],
)
def test_whoever_has_endless_addresses_gets_no_more_codes_by_them(login: Login, addresses: str, last: int) -> None:
    asked = [login.ask(f"99890123450{n}", address=addresses.format(n)).status_code for n in range(1, 5)]

    assert asked == [HTTPStatus.ACCEPTED] * 3 + [last]


def test_one_phone_is_one_phone_however_it_is_written(login: Login) -> None:
    written = ("+998 (90) 123-45-67", "90 123 45 67", PHONE)

    asked = [login.ask(phone, address=f"192.0.2.{number}").status_code for number, phone in enumerate(written)]

    assert asked == [HTTPStatus.ACCEPTED, MANY, MANY]


def test_many_who_ask_at_once_get_one_code(login: Login) -> None:
    answers = at_once(5, lambda: login.ask().status_code)

    assert sorted(answers) == [HTTPStatus.ACCEPTED] + [MANY] * 4
    assert len(login.orders()) == 1


def test_what_is_no_phone_is_refused(login: Login) -> None:
    assert login.ask("+44 20 7946 0000").status_code == HTTPStatus.UNPROCESSABLE_ENTITY

    assert login.orders() == []


def test_a_broker_that_does_not_answer_is_no_reason_to_say_the_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    login = Login(tmp_path / "otp.db", f"redis://127.0.0.1:{processes.free_port()}/0")

    answer = login.ask()

    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "the broker did not answer" in caplog.text
    assert "Your code" not in caplog.text


def at_once(count: int, ask: Callable[[], int]) -> list[int]:
    with ThreadPoolExecutor(count) as threads:
        return [asked.result() for asked in [threads.submit(ask) for _ in range(count)]]


def digits_for(house: System, phone: str) -> str:
    """What the gateway was given for *phone*; nothing yet is no digits."""
    return "".join(digits_of(sms["text"]) for sms in house.control.journal() if sms["phone"] == phone)


def digits_of(text: str) -> str:
    (digits,) = re.findall(r"\b\d{6}\b", text)
    return str(digits)


def other_than(digits: str) -> str:
    return f"{(int(digits) + 1) % 1_000_000:06d}"
