"""The vendor's gateway without its network: a form in, the JSON of the answer out. Written from its document."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from worker.sandbox.config import SandboxConfig
from worker.sandbox.journal import Journal, Taken
from worker.text import size_of

#: The document's errors, in its own words and spelling.
ERROR_TEXTS: Mapping[int, str] = {
    100: "Login or Password is NULL",
    101: "Incorrect Login or Password",
    102: "Account blocked",
    103: "Limit is over",
    200: "Array is not a JSON",
    201: "Array is invalid",
    202: "Nickname didn't set",
    203: "Incorrect nickname",
    300: "is NOT a phone number",
    400: "request_id is wrong",
}
NO_DATE = "0000-00-00 00:00:00"
REQUESTS_UNDER_ONE_ID = 3  #: when request_ids collide
IDS = (10_000_000, 99_999_999)  #: random numbers of eight digits, as in the document

is_phone = re.compile(r"998[0-9]{9}").fullmatch


class Refused(Exception):
    """The whole request is refused with this error number."""

    def __init__(self, error_no: int) -> None:
        super().__init__(error_no)
        self.error_no = error_no


@dataclass(frozen=True, slots=True)
class Asked:
    """One object of a request's data that can be answered for."""

    phone: str
    text: str


class Vendor:
    """Takes messages into the journal, and tells what became of them by the clock."""

    def __init__(
        self,
        config: SandboxConfig,
        *,
        journal: Journal,
        dice: Random,
        now: Callable[[], datetime],
        is_guilty: Callable[[str], bool],
    ) -> None:
        self.config = config  # the control port puts another here
        self._journal = journal
        self._dice = dice
        self._now = now
        self._is_guilty = is_guilty
        self._given = journal.ids()
        self._under_one_id = (0, 0)  # an id that collides, and how many requests it may still stand for

    def send(self, form: Mapping[str, str], client_ip: str) -> Any:
        """Answer a post, and journal what it took. Raises `Refused`."""
        self._check_login(form)
        asked = self._messages(form)
        nickname = self._nickname(form)
        now, request = self._now(), self._journal.requests + 1
        of_request = None if self.config.request_ids == "per-message" else self._request_id()
        taken: list[Taken] = []
        answer = []
        for sms in asked:
            request_id, message_id = of_request or self._new_id(), self._new_id()
            row = {
                "user_id": 1,
                "date_received": int(now.timestamp()),
                "message_id": message_id,
                "request_id": request_id,
                "client_ip": client_ip,
            }
            if is_phone(sms.phone):
                parts = size_of(sms.text).parts
                taken.append(Taken(now, request, request_id, message_id, sms.phone, sms.text, nickname, parts))
                answer.append({"recipient": int(sms.phone), "text": sms.text} | row)
            else:
                answer.append(error_body(300) | {"recipient": sms.phone, "text": sms.text} | row)
        self._journal.append(taken)
        return answer

    def status(self, form: Mapping[str, str], client_ip: str) -> Any:
        """Answer a status question. Raises `Refused`."""
        self._check_login(form)
        rows = _array(form)
        if len(rows) != 1:
            raise Refused(201)
        # The document prints the key once with a space at its end, and once without.
        asked = {str(key).strip(): value for key, value in rows[0].items()}.get("request_id")
        if not re.fullmatch("[0-9]{1,18}", str(asked)):
            raise Refused(400)
        found = self._journal.of_request_id(int(str(asked)))
        if not found:
            raise Refused(400)
        now = self._now()
        return [self._report(taken, now, client_ip) for taken in found]

    def _check_login(self, form: Mapping[str, str]) -> None:
        login, password = form.get("login"), form.get("password")
        if not login or not password:
            raise Refused(100)
        if (login, password) != (self.config.login, self.config.password):
            raise Refused(101)

    def _messages(self, form: Mapping[str, str]) -> Sequence[Asked]:
        rows = _array(form)
        if not 1 <= len(rows) <= self.config.batch_limit:
            raise Refused(201)
        asked = [Asked(_word(row.get("phone")), _word(row.get("text"))) for row in rows]
        if not all(sms.phone and sms.text for sms in asked) or any(self._is_guilty(sms.text) for sms in asked):
            raise Refused(201)
        return asked

    def _nickname(self, form: Mapping[str, str]) -> str | None:
        nickname = form.get("nickname")
        if nickname == "" or (nickname is None and self.config.nickname_required):
            raise Refused(202)
        if nickname and self.config.nicknames and nickname not in self.config.nicknames:
            raise Refused(203)
        return nickname

    def _request_id(self) -> int:
        if self.config.request_ids == "shared":
            return self._new_id()
        request_id, left = self._under_one_id
        if not left:
            request_id, left = self._new_id(), REQUESTS_UNDER_ONE_ID
        self._under_one_id = (request_id, left - 1)
        return request_id

    def _new_id(self) -> int:
        while (number := self._dice.randint(*IDS)) in self._given:
            pass
        self._given.add(number)
        return number

    def _report(self, taken: Taken, now: datetime, client_ip: str) -> dict[str, str]:
        status, delivered_at = self._progress(taken, now)
        received = self._date(taken.at)
        return {
            "recipient": taken.phone,
            "text": taken.text,
            "user_id": "1",
            "date_received": received,
            "date_sent": received,
            "date_delivered": delivered_at,
            "message_id": str(taken.message_id),
            "request_id": str(taken.request_id),
            "status": status,
            "count_messages": str(taken.parts),
            "client_ip": client_ip,
            "description": "OK" if status == "delivered" else "",
        }

    def _progress(self, taken: Taken, now: datetime) -> tuple[str, str]:
        # The way's length follows from the id, so that a restart and changed settings need no memory of dice.
        shortest, longest = self.config.delivery_seconds
        way_seconds = shortest + (longest - shortest) * (taken.message_id * 2654435761 % 1000) / 1000
        arrives_at = taken.at + timedelta(seconds=way_seconds)
        if now < arrives_at:
            return "transmitted", ""
        if taken.phone.endswith(self.config.failing_suffixes):
            return "undelivered", NO_DATE
        return "delivered", self._date(arrives_at)

    def _date(self, instant: datetime) -> str:
        return instant.astimezone(self.config.zone).strftime("%Y-%m-%d %H:%M:%S")


def error_body(error_no: int) -> dict[str, Any]:
    """One error as the document writes it."""
    return {"error": 1, "error_text": ERROR_TEXTS.get(error_no, "Unknown error"), "error_no": error_no}


def request_error(error_no: int) -> Any:
    """The answer to a request that is refused as a whole: bare objects, but for the document's sample of 101."""
    if error_no == 101:  # noqa: PLR2004 - the vendor's number
        return [{"error": 1, "text": ERROR_TEXTS[error_no], "error_no": error_no}]
    return error_body(error_no)


def asked_about(form: Mapping[str, str]) -> Sequence[str]:
    """The phones or request_ids that a form names; none if it cannot be read."""
    try:
        rows = _array(form)
    except Refused:
        return ()
    return [str(row.get("phone") or row.get("request_id") or row.get("request_id ") or "") for row in rows]


def _array(form: Mapping[str, str]) -> list[dict[str, Any]]:
    try:
        rows = json.loads(form.get("data", ""))
        json.dumps(rows, ensure_ascii=False).encode()  # PHP takes half a surrogate pair for broken JSON
    except (ValueError, RecursionError):
        raise Refused(200) from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Refused(201)
    return rows


def _word(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else ""
