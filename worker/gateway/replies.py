"""All oddities of the gateway's answers, turned into our words. Pure: no network, no clock.

JSON comes labelled as HTML, errors come inside HTTP 200, and numbers come as strings or not: the vendor's document
shows all of these. Whatever is not provably something else is `SubmissionUnconfirmed` here, or `ReportsUnavailable`.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import structlog

from models.lifecycle import MessageState
from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayError,
    GatewayUnavailable,
    NicknameRefused,
    ReportsUnavailable,
    RequestIdUnknown,
    SubmissionUnconfirmed,
)
from worker.gateway import Acceptance, AcceptedSms, OutgoingSms, RefusedSms, Report
from worker.storable import parsed, storable

log = structlog.get_logger()

Row = dict[str, Any]  #: one object of an answer

#: The vendor's error numbers, in its document's words.
WORDS: Mapping[int, str] = {
    100: "login or password is null",
    101: "incorrect login or password",
    102: "account blocked",
    103: "limit is over",
    200: "array is not a JSON",
    201: "array is invalid",
    202: "nickname didn't set",
    203: "incorrect nickname",
    300: "is not a phone number",
    400: "request_id is wrong",
}
DEEPEST = 6  #: levels of an answer that are kept; the gateway's own have two
ACCOUNT_ERRORS = frozenset({100, 101, 102, 103})
NICKNAME_ERRORS = frozenset({202, 203})
REQUEST_ID_WRONG = 400

DELIVERED, FAILED = MessageState.DELIVERED, MessageState.FAILED
#: Only "delivered" is documented; the others are met at sister gateways. None: on its way.
STATES: Mapping[str, MessageState | None] = {
    "delivered": DELIVERED,
    **dict.fromkeys(("rejected", "undelivered", "notdelivered", "not_delivered", "undeliverable"), FAILED),
    **dict.fromkeys(("failed", "expired", "deleted"), FAILED),
    **dict.fromkeys(("transmitted", "sent", "accepted", "queued", "pending", "enroute"), None),
}

HTTP_OK, HTTP_FORBIDDEN = 200, 403
#: A server that answers with one of these has not run the gateway's program, so nothing was taken.
NEVER_TAKEN = frozenset({301, 307, 308, 401, 404, 405, 407, 411, 413, 414, 415, 421, 429, 431})

LONGEST_ID = 64  #: characters; the gateway's own have eight digits
LONGEST_WORD = 64
LONGEST_REASON = 200
_is_date = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}").fullmatch
NO_ERROR = frozenset({"", "0", "none", "null", "false"})  #: what may stand under "error" where there is none


def acceptance_of(messages: Sequence[OutgoingSms], http_status: int, body: bytes) -> Acceptance:
    """Read the answer to a post of *messages*.

    Raises `AccountRefused`, `BatchRefused` or `NicknameRefused` for a refusal of the whole request,
    `GatewayUnavailable` for an HTTP status that proves that nothing was taken, else `SubmissionUnconfirmed`.
    """
    _check_forbidden(http_status)
    if http_status in NEVER_TAKEN:
        reason = f"HTTP {http_status}: nothing was taken; the gateway's URL may be wrong"
        raise GatewayUnavailable(reason, http_status=http_status)
    if http_status != HTTP_OK:
        raise SubmissionUnconfirmed(f"HTTP {http_status}", http_status=http_status)
    root = _root(body, unusable=SubmissionUnconfirmed)
    if error := _request_error(root):
        _refuse_request(error, sent=frozenset(message.text.strip() for message in messages))
    if not isinstance(root, list) or not any(isinstance(row, dict) for row in root):
        raise SubmissionUnconfirmed("the answer is JSON of an unknown shape", http_status=http_status)
    return _sorted_out(messages, match_rows(messages, root))


def reports_of(http_status: int, body: bytes, zone: ZoneInfo) -> Sequence[Report]:
    """Read the answer to a status question; its dates are in *zone*. Strangers' messages may be among the reports.

    Raises `RequestIdUnknown` for error 400, `AccountRefused` for 100-103 and HTTP 403, else `ReportsUnavailable`.
    """
    _check_forbidden(http_status)
    if http_status != HTTP_OK:
        raise ReportsUnavailable(f"HTTP {http_status}", http_status=http_status)
    root = _root(body, unusable=ReportsUnavailable)
    if error := _request_error(root):
        _refuse_question(error)
    rows = [row for row in root if isinstance(row, dict)] if isinstance(root, list) else []
    reports = [report for row in rows if not _is_error(row) and (report := _report(row, zone))]
    if not reports and (errors := [row for row in rows if _is_error(row)]):
        _refuse_question(errors[0])
    if not reports:
        raise ReportsUnavailable("the answer holds no report", http_status=http_status)
    return reports


def match_rows(messages: Sequence[OutgoingSms], rows: Sequence[Any]) -> dict[int, Row]:
    """Return the answer's row for each message, by its place in *messages*; one without a row is left out.

    The document does not say that the order is kept, and a refused number comes back as it was sent, with its plus: so
    by the recipient's digits and text, then by digits, and by position only where a row names no recipient.
    """
    free = {at: row for at, row in enumerate(rows) if isinstance(row, dict)}
    digits = {at: digits_of(row.get("recipient")) for at, row in free.items()}
    by_text = {at: (digits[at], text) for at, row in free.items() if isinstance(text := row.get("text"), str)}
    pairs: dict[int, int] = {}
    _pair(pairs, {place: (message.phone, message.text) for place, message in enumerate(messages)}, by_text)
    if len(pairs) < len(messages):
        by_phone = {at: recipient for at, recipient in digits.items() if recipient}
        by_place = {at: at for at in digits if not digits[at] and len(rows) == len(messages)}
        _pair(pairs, {place: message.phone for place, message in enumerate(messages)}, by_phone)
        _pair(pairs, {place: place for place in range(len(messages))}, by_place)
    return {place: free[at] for place, at in pairs.items()}


def state_of(gateway_status: str) -> MessageState | None:
    """Our word for the gateway's; None means still on its way, and so does a word we never met."""
    if gateway_status not in STATES:
        log.warning("gateway_status_unknown", gateway_status=gateway_status)
    return STATES.get(gateway_status)


def instant_of(value: Any, zone: ZoneInfo) -> datetime | None:
    """Turn the gateway's ``YYYY-MM-DD HH:MM:SS`` in *zone* into an instant; None for anything else.

    >>> instant_of("2018-07-08 10:40:52", ZoneInfo("Asia/Tashkent")).isoformat()
    '2018-07-08T05:40:52+00:00'
    >>> instant_of("0000-00-00 00:00:00", ZoneInfo("Asia/Tashkent"))
    """
    if not isinstance(value, str):
        return None
    written = value.strip()
    try:
        if _is_date(written):  # in a twentieth of the time
            return datetime.fromisoformat(written).replace(tzinfo=zone).astimezone(UTC)
        return datetime.strptime(written, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def digits_of(recipient: Any) -> str | None:
    """The digits of a recipient, which is an int in one answer and a string in the other.

    >>> digits_of(998909711322), digits_of("+998 90 971-13-22"), digits_of(None)
    ('998909711322', '998909711322', None)
    """
    text = _text(recipient) or ""
    digits = text if text.isascii() and text.isdecimal() else re.sub("[^0-9]", "", text)
    return digits[:LONGEST_ID] or None


def _pair(pairs: dict[int, int], wanted: Mapping[int, Hashable], offered: Mapping[int, Hashable]) -> None:
    taken = set(pairs.values())
    places: dict[Hashable, list[int]] = {}
    for at, key in reversed([*offered.items()]):
        if at not in taken:
            places.setdefault(key, []).append(at)
    for place, key in wanted.items():
        if place not in pairs and (free := places.get(key)):
            pairs[place] = free.pop()


def _check_forbidden(http_status: int) -> None:
    # Public clients met 403 with a body that is no JSON wherever their address was not registered with the vendor.
    if http_status == HTTP_FORBIDDEN:
        reason = "HTTP 403: this machine's IP address is not registered with the gateway"
        raise AccountRefused(reason, http_status=http_status)


def _root(body: bytes, *, unusable: type[GatewayError]) -> Any:
    try:
        text = body.decode("utf-8", errors="replace").strip("\ufeff \t\r\n")
        # The document prints one key with a space at its end.
        return storable(parsed(text), named=str.strip, depth=DEEPEST)
    except (ValueError, RecursionError):
        raise unusable("the answer is not JSON", http_status=HTTP_OK) from None


def _is_error(row: Row) -> bool:
    return _says_an_error(row.get("error")) or _says_an_error(row.get("error_no"))


def _says_an_error(value: Any) -> bool:
    return value is not None and str(_whole(value)).strip().lower() not in NO_ERROR


def _request_error(root: Any) -> Row | None:
    # The document shows a bare object in most samples, and an array of one in that of 101.
    row = root[0] if isinstance(root, list) and len(root) == 1 else root
    return row if isinstance(row, dict) and "recipient" not in row and _is_error(row) else None


def _refuse_request(row: Row, *, sent: frozenset[str]) -> NoReturn:
    number = _number(row.get("error_no"))
    refusal: type[GatewayError] = BatchRefused
    if not number:
        # An error without the vendor's number may come from a proxy in between: it proves nothing.
        raise SubmissionUnconfirmed("an error without a number", http_status=HTTP_OK, answer=_answer(row))
    if number in ACCOUNT_ERRORS:
        refusal = AccountRefused
    elif number in NICKNAME_ERRORS:
        refusal = NicknameRefused
    message = _text(row.get("error_text", row.get("text")))
    reason = _reason(number, None if message in sent else message)
    raise refusal(reason, error_no=number, http_status=HTTP_OK, answer=_answer(row))


def _refuse_question(row: Row) -> NoReturn:
    number = _number(row.get("error_no"))
    refusal: type[GatewayError] = ReportsUnavailable
    if number in ACCOUNT_ERRORS:
        refusal = AccountRefused
    elif number == REQUEST_ID_WRONG:
        refusal = RequestIdUnknown
    raise refusal(_reason(number, row.get("error_text")), error_no=number, http_status=HTTP_OK, answer=_answer(row))


def _sorted_out(messages: Sequence[OutgoingSms], rows: Mapping[int, Row]) -> Acceptance:
    accepted: list[AcceptedSms] = []
    refused: list[RefusedSms] = []
    unanswered: list[int] = []
    returned: list[RefusedSms] = []
    for place, message in enumerate(messages):
        row = rows.get(place, {})
        if _is_error(row):
            number = _number(row.get("error_no"))
            # Never its "text": in the answer about one recipient that is the SMS.
            reason = _reason(number, row.get("error_text"))
            # An account's trouble that begins within a request is no fault of the message that met it.
            kept = returned if number in ACCOUNT_ERRORS else refused
            kept.append(RefusedSms(message.reference, number, reason, _answer(row)))
        elif request_id := _id(row.get("request_id")):
            accepted.append(AcceptedSms(message.reference, request_id, _id(row.get("message_id")), _answer(row)))
        else:
            unanswered.append(message.reference)
    return Acceptance(accepted, refused, unanswered, returned)


def _report(row: Row, zone: ZoneInfo) -> Report | None:
    gateway_status = (_text(row.get("status")) or "").lower()[:LONGEST_WORD]
    if not gateway_status:
        return None
    return Report(
        message_id=_id(row.get("message_id")),
        recipient=digits_of(row.get("recipient")),
        gateway_status=gateway_status,
        state=state_of(gateway_status),
        billed_parts=_number(row.get("count_messages")),
        sent_at=instant_of(row.get("date_sent"), zone),
        delivered_at=instant_of(row.get("date_delivered"), zone),
        answer=_answer(row),
        text=text if isinstance(text := row.get("text"), str) else None,
        received_at=instant_of(row.get("date_received"), zone),
    )


def _reason(number: int | None, message: Any) -> str:
    if number is not None and number in WORDS:
        return WORDS[number]
    # The vendor's free words may hold a phone.
    quoted = re.sub(r"\d{5,}", "…", (_text(message) or "")[:LONGEST_REASON])
    return f"gateway error {number}: {quoted}".removesuffix(": ")


def _answer(row: Row) -> Row:
    return {key: value for key, value in row.items() if key.lower() != "text"}


def _id(value: Any) -> str | None:
    text = _text(value)
    return text if text and text.strip("0") and len(text) <= LONGEST_ID else None


def _number(value: Any) -> int | None:
    text = _text(value) or ""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip()
    whole = _whole(value)
    return str(whole) if isinstance(whole, int) and not isinstance(whole, bool) else None
