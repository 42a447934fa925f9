"""Leasing questions to the gateway, and storing what it reports."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Integer,
    Select,
    Table,
    Text,
    bindparam,
    case,
    column,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from models import Message, Report
from models.base import BigId, Instant
from models.lifecycle import Lane, MessageState
from worker.backoff import Dice
from worker.gateway import Report as GatewayReport
from worker.store import proofs
from worker.store.lots import EachRow, among, given, insert_all
from worker.store.moves import move
from worker.store.proofs import Sibling

ONE_LEASE_AT_A_TIME = 0x534D5350  # two askers that skip each other's rows would share a request_id
ROWS_PER_REQUEST = (2, 10, 100)  # due rows looked at for each request_id wanted, which may stand for up to a batch
OLDEST_SHARE = 4  # one in so many questions is for those due longest, however many younger ones there are
NO_FINAL_REPORT = "no_final_report"

_PLACES = {str(lane): place for place, lane in enumerate(Lane)}
_MESSAGES = cast("Table", Message.__table__)
_POSTPONE = EachRow(
    _MESSAGES,
    keys=("id",),
    sets=("gateway_status", "billed_parts", "next_poll_at"),
    fixed="polls = polls",
    where="state = 'submitted'",
)
_HEARD: Sequence[ColumnClause[Any]] = (
    column("id", BigId),
    column("gateway_status", Text),
    column("billed_parts", Integer),
    column("moment", Instant),
)


class Asked(NamedTuple):
    """A message of ours that a question was about."""

    id: int
    request_id: str
    message_id: str | None
    phone: str
    state: str
    gateway_status: str | None
    billed_parts: int | None
    submitted_at: datetime
    polls: int
    batch_id: int


class Schedule(NamedTuple):
    """When to ask again, and when to give up."""

    next_after: Callable[[int], timedelta]  #: polls so far → the pause before the next
    give_up_after: timedelta


class Due(NamedTuple):
    """A request_id to be asked for."""

    request_id: str
    since: datetime
    polls: int  #: how often that was done already
    lane: int  #: its place among the lanes


def lease_due(
    session: Session, *, now: datetime, until: datetime, limit: int, rungs: int, dice: Dice
) -> dict[str, datetime]:
    """Take up to *limit* distinct request_ids that are due, and since when; nobody else asks for them before *until*.

    They are to be asked in the order given. Every fourth, from where the dice put the first, is one of those that have
    been due longest. The others are of the earliest lane, and there the youngest: asked least often, of the first
    *rungs* steps of the ladder. So where more is due than can be asked, codes that somebody waits for are heard of
    first, and no message waits for ever.
    """
    if not limit:
        return {}
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_LEASE_AT_A_TIME})
    longest = _due(session, limit, now)
    if len(longest) > limit:
        youngest = _youngest(session, limit, now, rungs)
    else:
        youngest = sorted(longest, key=lambda due: (due.lane, due.polls))
    taken = _mixed(longest, youngest, limit, first=int(dice() * OLDEST_SHARE))
    if taken:
        session.execute(
            update(Message)
            .where(among(session, Message.request_id, taken), Message.state == MessageState.SUBMITTED)
            .values(next_poll_at=until, polls=Message.polls + 1),
            execution_options={"synchronize_session": False},
        )
    return taken


def _due(session: Session, limit: int, now: datetime, lane: Lane | None = None, polls: int | None = None) -> list[Due]:
    """One request_id more than *limit*, if there are so many; those due longest first, of one rung of a lane or all."""
    statement = _due_statement(of_a_rung=lane is not None)
    wanted = {"now": now, "most": limit + 1} | ({} if lane is None else {"lane": lane, "polls": polls})
    for rows_looked_at in ((limit + 1) * each for each in ROWS_PER_REQUEST):
        found = session.execute(statement, wanted | {"rows": rows_looked_at}).all()
        if len(found) > limit or sum(row.rows for row in found) < rows_looked_at:
            break
    return [Due(*row[:4]) for row in found]


@cache
def _due_statement(*, of_a_rung: bool) -> Select[Any]:
    """Made once: where more is due than is asked, a lease takes two dozen of these."""
    own = _MESSAGES.c
    place, until = [own.next_poll_at], [bindparam("now", type_=own.next_poll_at.type)]
    first: Sequence[ColumnElement[bool]] = ()
    if of_a_rung:
        # Bounded and ordered by all three: else PostgreSQL, with statistics of an hour ago, may take the index that
        # knows no rungs, and walk past all that is due to find that a rung has nothing.
        rung = [bindparam("lane", type_=own.lane.type), bindparam("polls", type_=own.polls.type)]
        place, until = [own.lane, own.polls, *place], [*rung, *until]
        first = (tuple_(own.lane, own.polls) >= tuple_(*rung),)
    due = (
        select(own.request_id, own.next_poll_at, own.polls, own.lane)
        .where(own.state == MessageState.SUBMITTED, *first, tuple_(*place) <= tuple_(*until))
        .order_by(*place)
        .limit(bindparam("rows"))
        .subquery()
    )
    since, rows = func.min(due.c.next_poll_at).label("since"), func.count().label("rows")
    lane = func.min(case(_PLACES, value=due.c.lane))  # two tenants' messages may share a request_id
    return (
        select(due.c.request_id, since, func.min(due.c.polls), lane, rows)
        .group_by(due.c.request_id)
        .order_by(since)
        .limit(bindparam("most"))
    )


def _youngest(session: Session, limit: int, now: datetime, rungs: int) -> list[Due]:
    found: list[Due] = []
    for lane in Lane:
        for polls in range(rungs):
            if len(found) < limit:
                found += _due(session, limit, now, lane, polls)
    return found


def _mixed(longest: Sequence[Due], youngest: Sequence[Due], limit: int, *, first: int) -> dict[str, datetime]:
    """Whatever part of them is really asked, a quarter of it are those due longest."""
    since = {due.request_id: due.since for due in (*youngest, *longest)}
    share = longest[: max(1, min(limit, len(since)) // OLDEST_SHARE)]
    of_share = {due.request_id for due in share}
    order = [request_id for request_id in since if request_id not in of_share][: limit - len(share)]
    for number, due in enumerate(share):
        order.insert(first + number * OLDEST_SHARE, due.request_id)
    return {request_id: since[request_id] for request_id in order}


def hand_back(session: Session, due: Mapping[str, datetime], *, leased_until: datetime) -> None:
    """These were leased, but nobody asked for them: they are due as long as they were, and no question is counted."""
    if due:
        names = (column("request_id", Text), column("since", Instant))
        back = given(session, "back", names, list(due.items()))
        session.execute(
            update(Message)
            .where(Message.request_id == back.c.request_id, Message.state == MessageState.SUBMITTED)
            .where(Message.next_poll_at == leased_until)
            .values(next_poll_at=back.c.since, polls=Message.polls - 1),
            execution_options={"synchronize_session": False},
        )


def record_answers(
    session: Session, answers: Mapping[str, Sequence[GatewayReport] | None], *, now: datetime, schedule: Schedule
) -> None:
    """Store what the gateway said of some request_ids; None is a question without an answer, which says nothing.

    Rows of strangers are left alone. What is still on its way is asked for again later; past its deadline it becomes
    unknown.
    """
    asked = _asked(session, answers) if answers else []
    told = [(one, report) for one in asked if (report := _about(one, asked, answers[one.request_id] or ()))]
    news = [_row(one, report, now) for one, report in told if _is_news(one, report)]
    if news:
        insert_all(session, cast("Table", Report.__table__), news)
    _finish(session, told, MessageState.DELIVERED, now)
    _finish(session, told, MessageState.FAILED, now)
    finished = {one.id for one, report in told if report.state}
    heard = {one.id: report for one, report in told}
    waiting = [one for one in asked if one.state == MessageState.SUBMITTED and one.id not in finished]
    proofs.confirm(session, {Sibling(one.request_id, one.batch_id) for one in asked}, answers, now=now)
    _give_up(session, [one for one in waiting if _is_too_late(one, schedule, now)], now)
    _postpone(session, [one for one in waiting if not _is_too_late(one, schedule, now)], heard, now, schedule)


def _asked(session: Session, request_ids: Iterable[str]) -> list[Asked]:
    columns = [_MESSAGES.c[name] for name in Asked._fields]
    open_states = [MessageState.SUBMITTED, MessageState.UNKNOWN]  # a late report still resolves an unknown one
    of_requests = (among(session, Message.request_id, request_ids), Message.state.in_(open_states))
    return sorted((Asked(*row) for row in session.execute(select(*columns).where(*of_requests))), key=itemgetter(0))


def _about(one: Asked, asked: Sequence[Asked], reports: Sequence[GatewayReport]) -> GatewayReport | None:
    """The row about this message: by message_id; by recipient only where an id is missing and nothing else fits."""
    if one.message_id is not None:
        for report in reports:
            if report.message_id == one.message_id:
                return report
    twins = [other for other in asked if (other.request_id, other.phone) == (one.request_id, one.phone)]
    nameless = [
        report
        for report in reports
        if report.recipient == one.phone and (report.message_id is None or one.message_id is None)
    ]
    return nameless[0] if len(twins) == len(nameless) == 1 else None


def _is_news(one: Asked, report: GatewayReport) -> bool:
    known = (one.gateway_status, one.billed_parts)
    said = (report.gateway_status, one.billed_parts if report.billed_parts is None else report.billed_parts)
    return report.state is not None or (one.state == MessageState.SUBMITTED and said != known)


def _row(one: Asked, report: GatewayReport, now: datetime) -> dict[str, Any]:
    names = ("message_id", "gateway_status", "state", "billed_parts", "sent_at", "delivered_at", "answer")
    said = {name: getattr(report, name) for name in names}
    return {"sms_id": one.id, "request_id": one.request_id, "received_at": now} | said


def _finish(session: Session, told: Sequence[tuple[Asked, GatewayReport]], state: MessageState, now: datetime) -> None:
    """Move those that the gateway reports to have ended in *state*."""
    ended = [(one, report) for one, report in told if report.state is state]
    if not ended:
        return
    delivered = state is MessageState.DELIVERED
    rows = [
        (one.id, report.gateway_status, report.billed_parts, (report.delivered_at or now) if delivered else None)
        for one, report in ended
    ]
    heard = given(session, "heard", _HEARD, rows)
    move(
        session,
        state,
        Message.id == heard.c.id,
        now=now,
        sources=[MessageState.SUBMITTED, MessageState.UNKNOWN],
        gateway_status=heard.c.gateway_status,
        billed_parts=func.coalesce(heard.c.billed_parts, Message.billed_parts),
        delivered_at=heard.c.moment,
        reason=None if delivered else heard.c.gateway_status,
    )


def _is_too_late(one: Asked, schedule: Schedule, now: datetime) -> bool:
    return now - one.submitted_at >= schedule.give_up_after


def _give_up(session: Session, late: Sequence[Asked], now: datetime) -> None:
    if late:
        ids = Message.id.in_([one.id for one in late])
        move(session, MessageState.UNKNOWN, ids, now=now, reason=NO_FINAL_REPORT)


def _postpone(
    session: Session, waiting: Sequence[Asked], heard: Mapping[int, GatewayReport], now: datetime, schedule: Schedule
) -> None:
    """Ask again later, and remember the gateway's last word."""
    words = [(one, heard.get(one.id) or one) for one in waiting]
    rows = [
        (
            one.id,
            said.gateway_status,
            one.billed_parts if said.billed_parts is None else said.billed_parts,
            now + schedule.next_after(one.polls),
        )
        for one, said in words
    ]
    if rows:
        _POSTPONE.run(session, rows)
