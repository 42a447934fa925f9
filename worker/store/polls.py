"""Leasing questions to the gateway, and storing what it reports."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnClause,
    ColumnElement,
    Integer,
    Text,
    case,
    column,
    func,
    insert,
    literal,
    select,
    text,
    update,
    values,
)
from sqlalchemy.orm import Session

from models import Message, Report
from models.base import BigId, Instant
from models.lifecycle import MessageState
from worker.backoff import Dice
from worker.gateway import Report as GatewayReport
from worker.store import proofs
from worker.store.moves import move
from worker.store.proofs import Sibling

ONE_LEASE_AT_A_TIME = 0x534D5350  # two askers that skip each other's rows would share a request_id
ROWS_PER_REQUEST = (10, 100)  # due rows looked at for each request_id wanted, which may stand for up to a batch
OLDEST_SHARE = 4  # one in so many questions is for those due longest, however many younger ones there are
NO_FINAL_REPORT = "no_final_report"


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


def lease_due(
    session: Session, *, now: datetime, until: datetime, limit: int, rungs: int, dice: Dice
) -> dict[str, datetime]:
    """Take up to *limit* distinct request_ids that are due, and since when; nobody else asks for them before *until*.

    They are to be asked in the order given. Every fourth, from where the dice put the first, is one of those that have
    been due longest. The others are the youngest: asked least often, of the first *rungs* steps of the ladder. So where
    more is due than can be asked, codes that somebody waits for are heard of first, and no message waits for ever.
    """
    if not limit:
        return {}
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_LEASE_AT_A_TIME})
    longest = _due(session, limit, now)
    if len(longest) > limit:
        youngest = _youngest(session, limit, now, rungs)
    else:
        youngest = sorted(longest, key=lambda due: due.polls)
    taken = _mixed(longest, youngest, limit, first=int(dice() * OLDEST_SHARE))
    if taken:
        session.execute(
            update(Message)
            .where(Message.request_id.in_(taken), Message.state == MessageState.SUBMITTED)
            .values(next_poll_at=until, polls=Message.polls + 1),
            execution_options={"synchronize_session": False},
        )
    return taken


def _due(session: Session, limit: int, now: datetime, *criteria: ColumnElement[bool]) -> list[Due]:
    """One request_id more than *limit*, if there are so many; those due longest first."""
    found: dict[str, Due] = {}
    for rows_looked_at in ((limit + 1) * each for each in ROWS_PER_REQUEST):
        due = session.execute(
            select(Message.request_id, Message.next_poll_at, Message.polls)
            .where(Message.state == MessageState.SUBMITTED, Message.next_poll_at <= now, *criteria)
            .order_by(Message.next_poll_at)
            .limit(rows_looked_at)
        ).all()
        for row in due:
            found.setdefault(row.request_id, Due(*row))  # type: ignore[arg-type]
        if len(found) > limit or len(due) < rows_looked_at:
            break
    return list(found.values())[: limit + 1]


def _youngest(session: Session, limit: int, now: datetime, rungs: int) -> list[Due]:
    found: list[Due] = []
    for polls in range(rungs):
        if len(found) < limit:
            found += _due(session, limit, now, Message.polls == polls)
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
        leased = (Message.request_id.in_(due), Message.state == MessageState.SUBMITTED)
        since = case({one: literal(at, Instant) for one, at in due.items()}, value=Message.request_id)
        session.execute(
            update(Message)
            .where(*leased, Message.next_poll_at == leased_until)
            .values(next_poll_at=since, polls=Message.polls - 1),
            execution_options={"synchronize_session": False},
        )


def record_answers(
    session: Session, answers: Mapping[str, Sequence[GatewayReport] | None], *, now: datetime, schedule: Schedule
) -> None:
    """Store what the gateway said of some request_ids; None is a question without an answer, which says nothing.

    Rows of strangers are left alone. What is still on its way is asked for again later; past its deadline it becomes
    unknown.
    """
    asked = _asked(session, answers)
    told = [(one, report) for one in asked if (report := _about(one, asked, answers[one.request_id] or ()))]
    news = [_row(one, report, now) for one, report in told if _is_news(one, report)]
    if news:
        session.execute(insert(Report), news)
    _finish(session, told, MessageState.DELIVERED, now)
    _finish(session, told, MessageState.FAILED, now)
    finished = {one.id for one, report in told if report.state}
    heard = {one.id: report for one, report in told}
    waiting = [one for one in asked if one.state == MessageState.SUBMITTED and one.id not in finished]
    proofs.confirm(session, {Sibling(one.request_id, one.batch_id) for one in asked}, answers, now=now)
    _give_up(session, [one for one in waiting if _is_too_late(one, schedule, now)], now)
    _postpone(session, [one for one in waiting if not _is_too_late(one, schedule, now)], heard, now, schedule)


def _asked(session: Session, request_ids: Iterable[str]) -> list[Asked]:
    columns = [getattr(Message, name) for name in Asked._fields]
    open_states = [MessageState.SUBMITTED, MessageState.UNKNOWN]  # a late report still resolves an unknown one
    of_requests = (Message.request_id.in_(list(request_ids)), Message.state.in_(open_states))
    return [Asked(*row) for row in session.execute(select(*columns).where(*of_requests).order_by(Message.id))]


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
    heard = _values(
        [
            (one.id, report.gateway_status, report.billed_parts, (report.delivered_at or now) if delivered else None)
            for one, report in ended
        ]
    )
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
    if not waiting:
        return
    again = _values(
        [
            (
                one.id,
                heard[one.id].gateway_status if one.id in heard else one.gateway_status,
                heard[one.id].billed_parts if one.id in heard else one.billed_parts,
                now + schedule.next_after(one.polls),
            )
            for one in waiting
        ]
    )
    session.execute(
        update(Message)
        .where(Message.id == again.c.id, Message.state == MessageState.SUBMITTED)
        .values(
            gateway_status=again.c.gateway_status,
            billed_parts=func.coalesce(again.c.billed_parts, Message.billed_parts),
            next_poll_at=again.c.moment,
        ),
        execution_options={"synchronize_session": False},
    )


def _values(rows: Sequence[tuple[int, str | None, int | None, datetime | None]]) -> CTE:
    names: tuple[ColumnClause[Any], ...] = (
        column("id", BigId),
        column("gateway_status", Text),
        column("billed_parts", Integer),
        column("moment", Instant),
    )
    # Literals keep their type where every value of a column is NULL, which PostgreSQL would take for text.
    types = [name.type for name in names]
    typed = [tuple(literal(cell, kind) for cell, kind in zip(row, types, strict=True)) for row in rows]
    return values(*names, name="heard").data(typed).cte("heard")
