"""Whether an order that is all right in itself is accepted: allow list, parts, do-not-send list, duplicates, caps."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import coalesce

from models import Message, Tally
from models.lifecycle import Lane, MessageState
from worker.errors import OrderRefused
from worker.order_fields import Caps, Terms
from worker.store import blocks, lots
from worker.store.intake import AT_ONCE, MESSAGES, Content, content_of

Row = Mapping[str, Any]

LANE_LOCK = 0x534D5341  # and the lane's place
HOUR = timedelta(hours=1)
KEPT_TALLIES = timedelta(days=2)
NO_CAPS = Caps()
NEVER_SENT = (MessageState.CANCELLED, MessageState.EXPIRED)


def keep_out(session: Session, rows: Sequence[Row], terms: Terms) -> dict[str, OrderRefused]:
    """Why some of *rows* (no uid twice among them) are not accepted, by their uid; see `refusals_of`."""
    refusals = refusals_of(session, rows, terms)
    return {row["uid"]: refused for row, refused in zip(rows, refusals, strict=True) if refused}


def refusals_of(session: Session, rows: Sequence[Row], terms: Terms) -> Sequence[OrderRefused | None]:
    """Why each of *rows*, messages about to be inserted, is not accepted; None for what is.

    What is stored already is never kept out: an order that comes again changes nothing. Nor is what comes behind one of
    its uid that was let in. What is admitted is counted in this transaction. Of several reasons the first is told:
    `phone_not_allowed`, `text_too_long`, `phone_blocked`, `duplicate`, `phone_capped`, `producer_capped`; what is kept
    out counts for nothing.

    After `let_one_in_at_a_time` the caps are exact within a lane. What two lanes take at the same moment they do not
    see of each other, so that a producer's daily cap can be overshot, and a duplicate missed, by what is in hand then.
    """
    blocked = blocks.blocked_of(session, {_ordered(row) for row in rows}, terms.lane)
    counting = terms.caps != NO_CAPS
    suspects = rows if counting else [row for row in rows if _ordered(row) in blocked or _unfit(row, terms)]
    if not suspects:
        return [None] * len(rows)
    new = _not_stored(session, suspects)
    door, looked_at = _door(session, new, terms, blocked), {id(row) for row in new}
    refusals = [door.keeps_out(row) if id(row) in looked_at else None for row in rows]
    if terms.caps.daily_per_producer:
        _tally(session, door.let_in.values(), terms)
    return refusals


def let_one_in_at_a_time(session: Session, terms: Terms) -> None:
    """Where there are caps, wait for whoever stores in this lane. Call it before anything is read that decides.

    Two workers that counted at the same time would both find room. SQLite has one writer at a time anyway.
    """
    if terms.caps != NO_CAPS and session.get_bind().dialect.name == "postgresql":
        lock = {"rule": LANE_LOCK, "lane": list(Lane).index(terms.lane)}
        session.execute(text("SELECT pg_advisory_xact_lock(:rule, :lane)"), lock)


@dataclass(frozen=True, slots=True)
class _Door:
    """What is known of the messages that were let in before."""

    terms: Terms
    blocked: set[str]
    firsts: dict[Content, str]  #: uid of the first of that content
    of_phone: Counter[str]
    of_producer: Counter[str]
    let_in: dict[str, Row] = field(default_factory=dict)  #: by uid

    def keeps_out(self, row: Row) -> OrderRefused | None:
        """Why *row* may not come in; if it may, it is one of those before from now on."""
        if row["uid"] in self.let_in:
            return None
        refused = self._refused(row)
        if refused is None:
            self.let_in[row["uid"]] = row
            self.firsts.setdefault(content_of(row), row["uid"])
            self.of_phone[_ordered(row)] += 1
            self.of_producer[row["producer"]] += 1
        return refused

    def _refused(self, row: Row) -> OrderRefused | None:
        caps, lane = self.terms.caps, self.terms.lane
        if unfit := _unfit(row, self.terms):
            return unfit
        if _ordered(row) in self.blocked:
            return _phone_blocked(lane)
        if caps.duplicate_window and (first := self.firsts.get(content_of(row))):
            return _duplicate(first, caps.duplicate_window)
        if caps.hourly_per_phone and self.of_phone[_ordered(row)] >= caps.hourly_per_phone:
            return _phone_capped(lane, caps.hourly_per_phone)
        if caps.daily_per_producer and self.of_producer[row["producer"]] >= caps.daily_per_producer:
            return _producer_capped(caps.daily_per_producer, self.terms.zone.key)
        return None


def _unfit(row: Row, terms: Terms) -> OrderRefused | None:
    """Why the settings do not let *row* in, whatever was let in before."""
    if terms.allowed_recipients and _ordered(row) not in terms.allowed_recipients:
        return OrderRefused("phone_not_allowed", "phone: not one of SMS_ALLOWED_RECIPIENTS, which alone are sent to.")
    if row["parts"] > terms.max_parts:
        allowed = f"at most {terms.max_parts} are allowed on the lane {terms.lane}"
        return OrderRefused("text_too_long", f"text: {row['parts']} parts ({row['encoding']}); {allowed}.")
    return None


def _phone_blocked(lane: Lane) -> OrderRefused:
    explanation = (
        f"phone: it is on the do-not-send list of the lane {lane}, and gets nothing by it. "
        "If it may be written to again, take it off with sms.unblock, then order again."
    )
    return OrderRefused("phone_blocked", explanation)


def _duplicate(first: str, window: timedelta) -> OrderRefused:
    explanation = (
        f"text: the same phone and text were accepted within {window.total_seconds():g} seconds "
        f"(SMS_DUPLICATE_WINDOW_SECONDS), as the message {first}, which stands. "
        "If it is to be sent once more, change the text or order again later."
    )
    return OrderRefused("duplicate", explanation)


def _phone_capped(lane: Lane, cap: int) -> OrderRefused:
    explanation = (
        f"phone: at most {cap} messages to one number are accepted within an hour on the lane {lane} "
        f"(SMS_HOURLY_CAP_PER_PHONE_{lane.upper()}), and it has had them. Order again later."
    )
    return OrderRefused("phone_capped", explanation)


def _producer_capped(cap: int, zone: str) -> OrderRefused:
    explanation = (
        f"producer: at most {cap} messages of one producer are accepted in a day of {zone} "
        "(SMS_DAILY_CAP_PER_PRODUCER), and it has ordered them. Order again tomorrow, or have the cap raised."
    )
    return OrderRefused("producer_capped", explanation)


def _ordered(row: Row) -> str:
    """The number that was ordered: in staging, many of them are sent to one."""
    phone: str = row["ordered_phone"] or row["phone"]
    return phone


def _not_stored(session: Session, rows: Sequence[Row]) -> list[Row]:
    stored = lots.found_among(session, MESSAGES.c.uid, {row["uid"] for row in rows})
    return [row for row in rows if row["uid"] not in stored]


def _door(session: Session, new: Sequence[Row], terms: Terms, blocked: set[str]) -> _Door:
    caps = terms.caps
    return _Door(
        terms,
        blocked,
        firsts=_firsts(session, new, since=terms.now - caps.duplicate_window) if caps.duplicate_window else {},
        of_phone=_of_phone(session, new, terms) if caps.hourly_per_phone else Counter(),
        of_producer=_of_producer(session, new, terms) if caps.daily_per_producer else Counter(),
    )


def _firsts(session: Session, rows: Sequence[Row], *, since: datetime) -> dict[Content, str]:
    """The uid of the first message of each content accepted after *since*. Reads ix_messages_phone."""
    ordered_text = coalesce(Message.ordered_text, Message.text)
    firsts: dict[Content, str] = {}
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        stands = Message.state.not_in([*NEVER_SENT, MessageState.FAILED])
        same = ordered_text.in_({content_of(row).text for row in some})
        found = select(Message.uid, coalesce(Message.ordered_phone, Message.phone), ordered_text).where(
            _to({row["phone"] for row in some}), Message.created_at > since, stands, same
        )
        for uid, phone, words in session.execute(found.order_by(Message.id)):
            firsts.setdefault(Content(phone, words), uid)
    return firsts


def _of_phone(session: Session, rows: Sequence[Row], terms: Terms) -> Counter[str]:
    """What each ordered number was accepted for by this lane in the last hour. Reads ix_messages_phone."""
    ordered = coalesce(Message.ordered_phone, Message.phone)
    counts: Counter[str] = Counter()
    for phones in _slices(row["phone"] for row in rows):
        lately = (Message.lane == terms.lane, Message.created_at > terms.now - HOUR, Message.state.not_in(NEVER_SENT))
        counted = select(ordered, func.count()).where(_to(phones), *lately).group_by(ordered)
        counts.update({phone: messages for phone, messages in session.execute(counted)})  # noqa: C416
    return counts


def _of_producer(session: Session, rows: Sequence[Row], terms: Terms) -> Counter[str]:
    """What each producer was accepted for today, by all lanes."""
    counts: Counter[str] = Counter()
    for producers in _slices(row["producer"] for row in rows):
        today = (Tally.day == _day(terms), Tally.producer.in_(producers))
        counted = select(Tally.producer, func.sum(Tally.messages)).where(*today).group_by(Tally.producer)
        counts.update({producer: messages for producer, messages in session.execute(counted)})  # noqa: C416
    return counts


def _tally(session: Session, admitted: Iterable[Row], terms: Terms) -> None:
    counts = Counter(row["producer"] for row in admitted)
    if not counts:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    insert = dialect.insert(Tally)
    more = {"messages": Tally.messages + insert.excluded.messages}
    day = {"day": _day(terms), "lane": terms.lane.value}
    rows = [day | {"producer": producer, "messages": messages} for producer, messages in sorted(counts.items())]
    session.execute(insert.on_conflict_do_update(index_elements=["day", "producer", "lane"], set_=more), rows)
    session.execute(delete(Tally).where(Tally.day < _day(terms) - KEPT_TALLIES))


def _day(terms: Terms) -> date:
    return terms.now.astimezone(terms.zone).date()


def _to(phones: Iterable[str]) -> ColumnElement[bool]:
    return Message.phone.in_(phones)


def _slices(values: Iterable[str]) -> Iterator[list[str]]:
    """Each of *values* once, in as many as one statement takes."""
    distinct = list(dict.fromkeys(values))
    return (distinct[start : start + AT_ONCE] for start in range(0, len(distinct), AT_ONCE))
