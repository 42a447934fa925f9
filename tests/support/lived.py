"""A house in which three ordinary hours have passed, and the last night, so that a page has something to show."""

import math
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from builders import Sessions, a_phone, an_sms
from sqlalchemy import insert
from sqlalchemy.orm import Session

from models import Batch, Block, Callback, Decision, Message, RefusedIntake, Report, Worker
from models.lifecycle import BatchState, CallbackState, Lane, MessageState
from worker.store.accounts import account_id_of

MINUTES = 180
STORIES_AT = 45  # minutes ago: the list, newest first, is in order of time
CODE = "Tasdiqlash kodi: {number}. Uni hech kimga aytmang."
PAID = "Hurmatli mijoz, {number}-buyurtmangiz uchun toʻlov qabul qilindi. Rahmat!"
SALE = "Уважаемый клиент! Только до воскресенья скидка 30 % на всё. Подробности у вашего менеджера, заказ {number}."
TEXTS = {Lane.OTP: CODE, Lane.NORMAL: PAID, Lane.BULK: SALE}
PRODUCERS = {Lane.OTP: "login", Lane.NORMAL: "shop", Lane.BULK: "campaign-2026-11"}
PARTS = {Lane.OTP: (1, "gsm"), Lane.NORMAL: (2, "ucs2"), Lane.BULK: (2, "ucs2")}
NICKNAME = "4546"


class Uids(NamedTuple):
    """Of the messages that tests ask for by name."""

    told: str = str(uuid.UUID(int=0xA1))  #: delivered, after a post that was cut off and a decision to resend it
    failed: str = str(uuid.UUID(int=0xA2))
    unknown: str = str(uuid.UUID(int=0xA3))
    first_in_doubt: str = str(uuid.UUID(int=0xA4))
    second_in_doubt: str = str(uuid.UUID(int=0xA5))
    waiting: str = str(uuid.UUID(int=0xA6))  #: queued, for the next day
    evil: str = str(uuid.UUID(int=0xA7))  #: its text and key are an attack on a page that shows them


UIDS = Uids()
TOLD_PHONE, TOLD_KEY, TOLD_REQUEST_ID = "998901234567", "order-1001", "7700123"
EVIL = "<script src=//evil.example></script>'\"><img src=//evil.example/x onerror=alert(1)>"
LONG_KEY = "campaign-2026-11-eski-mijozlar-uchun-yilbaşi-aksiyasi-" + "x" * 120


def live(sessions: Sessions, *, login: str, now: datetime) -> None:
    """Fill an empty database with what happened until *now* in the house of the account *login*."""
    with sessions.begin() as session:
        account_id = account_id_of(session, login)
        _traffic(session, account_id, now)
        _waiting(session, now)
        _around(session, now)


def _traffic(session: Session, account_id: int, now: datetime) -> None:
    """Three hours of traffic, in waves, all of it delivered but one in forty, and the stories among it."""
    dice = Random(7)
    number = 0
    for minute in range(MINUTES, 0, -1):
        if minute == STORIES_AT:
            _stories(session, account_id, now)
        at = now - timedelta(minutes=minute)
        wave = 5 + 4 * math.sin(minute / 18)
        for lane, share in ((Lane.OTP, 0.6), (Lane.NORMAL, 0.9), (Lane.BULK, 1.6 if minute > MINUTES / 2 else 0.1)):
            count = round(wave * share * dice.uniform(0.7, 1.3))
            if count:
                _sent(session, account_id, lane, at, numbers=range(number, number + count), dice=dice)
            number += count


def _sent(session: Session, account_id: int, lane: Lane, at: datetime, *, numbers: range, dice: Random) -> None:
    milliseconds = round(dice.lognormvariate(5.4, 0.5))
    posted_at = at + timedelta(seconds=1)
    submitted_at = posted_at + timedelta(milliseconds=milliseconds)
    batch = _batch(
        session, account_id, lane, size=len(numbers), accepted=len(numbers), refused=0, at=posted_at, ms=milliseconds
    )
    taken = {"batch_id": batch, "request_id": str(700000 + batch), "created_at": at, "send_at": at}
    taken |= {"posted_at": posted_at, "submitted_at": submitted_at}
    rows = [_one_sent(lane, number, dice, **taken) for number in numbers]
    session.execute(insert(Message), rows)


def _one_sent(lane: Lane, number: int, dice: Random, **taken: Any) -> dict[str, Any]:
    parts, encoding = PARTS[lane]
    done = taken["submitted_at"] + timedelta(seconds=round(dice.lognormvariate(1.6, 0.7), 3))
    is_lost = number % 40 == 39
    return an_sms(
        uid=str(uuid.UUID(int=number + 4096)),
        lane=lane,
        producer=PRODUCERS[lane],
        key=f"{PRODUCERS[lane]}-{number}",
        phone=a_phone(number * 37 % 9_000_000),
        text=TEXTS[lane].format(number=1000 + number),
        nickname=NICKNAME,
        parts=parts,
        encoding=encoding,
        billed_parts=parts,
        state=MessageState.FAILED if is_lost else MessageState.DELIVERED,
        gateway_status="undelivered" if is_lost else "delivered",
        reason="undelivered" if is_lost else None,
        message_id=str(51_000_000 + number),
        polls=2,
        attempts=1,
        delivered_at=None if is_lost else done,
        finalized_at=done,
        **taken,
    )


def _waiting(session: Session, now: datetime) -> None:
    """A campaign is just going out; two codes have come this moment."""
    for lane, count, since in ((Lane.OTP, 2, 1), (Lane.NORMAL, 14, 9), (Lane.BULK, 1873, 254)):
        parts, encoding = PARTS[lane]
        rows = [
            an_sms(
                uid=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{lane}-{place}")),
                lane=lane,
                producer=PRODUCERS[lane],
                phone=a_phone(1_000_000 + place),
                text=TEXTS[lane].format(number=place),
                nickname=NICKNAME,
                parts=parts,
                encoding=encoding,
                created_at=now - timedelta(seconds=since),
                send_at=now - timedelta(seconds=since),
            )
            for place in range(count)
        ]
        session.execute(insert(Message), rows)


def _batch(
    session: Session,
    account_id: int,
    lane: Lane,
    *,
    at: datetime,
    size: int,
    state: BatchState = BatchState.ACCEPTED,
    ms: int = 240,
    **more: Any,
) -> int:
    row = {
        "account_id": account_id,
        "lane": lane,
        "nickname": NICKNAME,
        "state": state,
        "size": size,
        "worker": "worker@sms-1/4711/quiet",
        "created_at": at,
        "begins_by": None,
        "finished_at": at + timedelta(milliseconds=ms),
        "answer_ms": ms,
    }
    return session.scalars(insert(Batch).returning(Batch.id), [row | more]).one()


def _stories(session: Session, account_id: int, now: datetime) -> None:
    """The messages of `UIDS`, each with a past of its own."""
    cut_at = now - timedelta(minutes=42)
    cut = _batch(session, account_id, Lane.OTP, at=cut_at, size=3, state=BatchState.UNCONFIRMED, ms=31_000)
    taken = _batch(session, account_id, Lane.NORMAL, at=now - timedelta(minutes=31), size=3, accepted=2, refused=1)
    doubtful = {"lane": Lane.OTP, "producer": "login", "batch_id": cut, "state": MessageState.UNCONFIRMED}
    doubtful |= {"reason": "read timed out", "posted_at": cut_at, "created_at": cut_at, "send_at": cut_at}
    later = now + timedelta(hours=20)
    stories = (
        doubtful | {"uid": UIDS.first_in_doubt, "key": "login-1", "phone": "998935550101", "text": "Kod: 4821"},
        doubtful | {"uid": UIDS.second_in_doubt, "key": "login-2", "phone": "998935550102", "text": "Kod: 9930"},
        _told(taken, now),
        {"uid": UIDS.failed, "state": MessageState.FAILED, "reason": "is not a phone number", "error_no": 300}
        | {"batch_id": taken, "posted_at": now - timedelta(minutes=31), "attempts": 1, "key": "order-1002"},
        {"uid": UIDS.unknown, "state": MessageState.UNKNOWN, "batch_id": taken, "key": "order-1003"}
        | {"request_id": "7700124", "reason": "no final report", "polls": 19},
        {"uid": UIDS.waiting, "key": LONG_KEY, "send_at": later, "expires_at": later + timedelta(hours=2)},
        {"uid": UIDS.evil, "key": EVIL, "text": EVIL * 2, "producer": "evil"}
        | {"state": MessageState.CANCELLED, "tags": {EVIL: EVIL}},
    )
    ids: dict[str, int] = {}
    for story in stories:
        row = an_sms(**{"created_at": now - timedelta(minutes=45), "phone": "998971112233"} | story)
        ids[row["uid"]] = session.scalars(insert(Message).returning(Message.id), [row]).one()
    _reports(session, ids[UIDS.told], now)
    _callbacks(session, ids, now)


def _told(batch_id: int, now: datetime) -> dict[str, Any]:
    return {
        "uid": UIDS.told,
        "key": TOLD_KEY,
        "phone": TOLD_PHONE,
        "text": PAID.format(number=1001),
        "nickname": NICKNAME,
        "parts": 2,
        "encoding": "ucs2",
        "billed_parts": 2,
        "state": MessageState.DELIVERED,
        "gateway_status": "delivered",
        "request_id": TOLD_REQUEST_ID,
        "message_id": "51999001",
        "batch_id": batch_id,
        "attempts": 2,
        "resends": 1,
        "resolved_by": "web:aziza",
        "polls": 3,
        "tags": {"order": 1001},
        "callback": {"task": "shop.sms_changed", "queue": "shop"},
        "created_at": now - timedelta(minutes=43),
        "send_at": now - timedelta(minutes=43),
        "posted_at": now - timedelta(minutes=31),
        "submitted_at": now - timedelta(minutes=31) + timedelta(milliseconds=240),
        "delivered_at": now - timedelta(minutes=30, seconds=48),
        "finalized_at": now - timedelta(minutes=30, seconds=40),
    }


def _reports(session: Session, sms_id: int, now: datetime) -> None:
    told = {"sms_id": sms_id, "request_id": TOLD_REQUEST_ID, "message_id": "51999001", "billed_parts": 2}
    steps = [("accepted", None, 31), ("sent", None, 30.9), ("delivered", MessageState.DELIVERED, 30.7)]
    rows = [
        told
        | {"gateway_status": word, "state": state, "received_at": now - timedelta(minutes=ago), "answer": {"x": word}}
        | {"delivered_at": now - timedelta(minutes=30, seconds=48) if state else None}
        for word, state, ago in steps
    ]
    session.execute(insert(Report), rows)
    decided = {"uid": UIDS.told, "reason": "the customer says that nothing came"}
    _decisions(session, [decided | {"at": now - timedelta(minutes=33), "who": "web:aziza", "what": "resend"}])


def _decisions(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    session.execute(insert(Decision), rows)


def _callbacks(session: Session, ids: dict[str, int], now: datetime) -> None:
    def row(name: str, sms: str, word: MessageState, **more: Any) -> dict[str, Any]:
        event: dict[str, Any] = {
            "event_id": name,
            "uid": sms,
            "key": TOLD_KEY,
            "producer": "shop",
            "state": word,
            "reason": None,
        }
        event |= {"phone": TOLD_PHONE, "parts": 2, "at": (now - timedelta(minutes=30)).isoformat()}
        told = {"event_id": name, "sms_id": ids[sms], "event": event, "created_at": now - timedelta(minutes=30)}
        return told | {"target": {"task": "shop.sms_changed", "queue": "shop"}, "attempts": 1} | more

    done = {"state": CallbackState.TOLD, "finished_at": now - timedelta(minutes=30), "reason": None}
    failed = {"state": CallbackState.FAILED, "finished_at": now - timedelta(minutes=2), "attempts": 19}
    failed |= {"target": {"url": "https://shop.example/sms"}, "reason": "HTTP 500 Internal Server Error"}
    rows = [
        row("e-1", UIDS.told, MessageState.SUBMITTED, **done),
        row("e-2", UIDS.told, MessageState.DELIVERED, **done),
        row("e-3", UIDS.failed, MessageState.FAILED, **failed),
        row("e-4", UIDS.unknown, MessageState.UNKNOWN, **failed),
    ]
    for one in rows:
        session.execute(insert(Callback), [one])


def _around(session: Session, now: datetime) -> None:
    """What is not about one message: refused orders, blocks, decisions about the account, processes."""
    refused = {"queue": "sms.normal", "task": "sms.send", "producer": "shop", "body_encoding": "utf-8"}
    reasons = [
        ("phone_invalid", "phone: not a possible number; allowed are UZ (+998 and 9 digits)."),
        ("text_missing", "text: missing; allowed is any text of up to 10 parts."),
        ("text_too_long", EVIL),
    ]
    rows = [
        {"digest": str(place), "uid": str(uuid.UUID(int=place)), "reason": reason, "explanation": why, "body": EVIL}
        | {"key": f"order-9{place}", "created_at": now - timedelta(minutes=50 + place)}
        for place, (reason, why) in enumerate(reasons)
    ]
    session.execute(insert(RefusedIntake), [refused | row for row in rows])
    blocked = {"lane": Lane.BULK, "who": "web:aziza", "at": now - timedelta(hours=5), "reason": "asked for it by mail"}
    session.execute(insert(Block), [blocked | {"phone": a_phone(place)} for place in range(3)])
    _decisions(
        session,
        [
            {
                "at": now - timedelta(hours=2, minutes=5),
                "who": "web:bobur",
                "what": "pause",
                "reason": "wrong campaign",
            },
            {"at": now - timedelta(hours=2, minutes=2), "who": "web:bobur", "what": "resume", "reason": None},
        ],
    )
    process = {"release": "0.4.0", "started_at": now - timedelta(days=2), "figures": {}}
    process |= {"seen_at": now - timedelta(seconds=2), "bell_at": now - timedelta(seconds=1)}
    session.execute(insert(Worker), [process | {"name": f"worker@sms-{n}/471{n}/quiet"} for n in (1, 2)])
