"""Leasing questions to the gateway, and storing what it reports."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session

from models import Message, Report
from models.lifecycle import MessageState
from worker.gateway import Report as GatewayReport
from worker.store.moves import move

ONE_LEASE_AT_A_TIME = 0x534D5350  # two askers that skip each other's rows would share a request_id
ROWS_PER_REQUEST = 10  # due rows looked at for each request_id wanted; a request may stand for many messages
NO_FINAL_REPORT = "no_final_report"


class Asked(NamedTuple):
    """A message of ours that a question was about."""

    id: int
    message_id: str | None
    phone: str
    state: str
    gateway_status: str | None
    billed_parts: int | None
    submitted_at: datetime
    polls: int


class Schedule(NamedTuple):
    """When to ask again, and when to give up."""

    next_after: Callable[[int], timedelta]  #: polls so far → the pause before the next
    give_up_after: timedelta


def lease_due(session: Session, *, now: datetime, until: datetime, limit: int) -> list[str]:
    """Take up to *limit* distinct request_ids that are due, oldest first; nobody else asks for them before *until*."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_LEASE_AT_A_TIME})
    due = session.scalars(
        select(Message.request_id)
        .where(Message.state == MessageState.SUBMITTED, Message.next_poll_at <= now)
        .order_by(Message.next_poll_at)
        .limit(limit * ROWS_PER_REQUEST)
    )
    request_ids = [request_id for request_id in dict.fromkeys(due) if request_id is not None][:limit]
    if request_ids:
        session.execute(
            update(Message)
            .where(Message.request_id.in_(request_ids), Message.state == MessageState.SUBMITTED)
            .values(next_poll_at=until, polls=Message.polls + 1),
            execution_options={"synchronize_session": False},
        )
    return request_ids


def record_reports(
    session: Session, request_id: str, reports: Sequence[GatewayReport], *, now: datetime, schedule: Schedule
) -> None:
    """Store what the gateway said about our messages of *request_id*; rows of strangers are left alone."""
    asked = _asked(session, request_id)
    told = {one.id: report for one in asked if (report := _about(one, asked, reports))}
    news = [_row(one, told[one.id], request_id, now) for one in asked if one.id in told and _is_news(one, told[one.id])]
    if news:
        session.execute(insert(Report), news)
    for one in asked:
        if one.id in told:
            _advance(session, one, told[one.id], now)
    postpone(session, request_id, now=now, schedule=schedule)


def postpone(session: Session, request_id: str, *, now: datetime, schedule: Schedule) -> None:
    """What is still on its way is asked for again later; past its deadline it becomes unknown."""
    for one in _asked(session, request_id):
        if one.state != MessageState.SUBMITTED:
            continue
        if now - one.submitted_at >= schedule.give_up_after:
            move(session, MessageState.UNKNOWN, Message.id == one.id, now=now, reason=NO_FINAL_REPORT)
        else:
            next_poll_at = now + schedule.next_after(one.polls)
            still = (Message.id == one.id, Message.state == MessageState.SUBMITTED)
            session.execute(update(Message).where(*still).values(next_poll_at=next_poll_at))


def _asked(session: Session, request_id: str) -> list[Asked]:
    columns = [getattr(Message, name) for name in Asked._fields]
    open_states = [MessageState.SUBMITTED, MessageState.UNKNOWN]  # a late report still resolves an unknown one
    found = session.execute(
        select(*columns).where(Message.request_id == request_id, Message.state.in_(open_states)).order_by(Message.id)
    )
    return [Asked(*row) for row in found]


def _about(one: Asked, asked: Sequence[Asked], reports: Sequence[GatewayReport]) -> GatewayReport | None:
    """The row about this message: by message_id; by recipient only where an id is missing and nothing else fits."""
    if one.message_id is not None:
        for report in reports:
            if report.message_id == one.message_id:
                return report
    twins = [other for other in asked if other.phone == one.phone]
    nameless = [
        report
        for report in reports
        if report.recipient == one.phone and (report.message_id is None or one.message_id is None)
    ]
    return nameless[0] if len(twins) == len(nameless) == 1 else None


def _is_news(one: Asked, report: GatewayReport) -> bool:
    known = (one.gateway_status, one.billed_parts)
    return report.state is not None or (report.gateway_status, report.billed_parts) != known


def _row(one: Asked, report: GatewayReport, request_id: str, now: datetime) -> dict[str, Any]:
    names = ("message_id", "gateway_status", "state", "billed_parts", "sent_at", "delivered_at", "answer")
    said = {name: getattr(report, name) for name in names}
    return {"sms_id": one.id, "request_id": request_id, "received_at": now} | said


def _advance(session: Session, one: Asked, report: GatewayReport, now: datetime) -> None:
    heard: dict[str, Any] = {"gateway_status": report.gateway_status, "billed_parts": report.billed_parts}
    if report.billed_parts is None:
        del heard["billed_parts"]
    if report.state is MessageState.DELIVERED:
        heard["delivered_at"] = report.delivered_at or now
    if report.state is MessageState.FAILED:
        heard["reason"] = report.gateway_status
    if report.state is not None:
        move(session, report.state, Message.id == one.id, now=now, sources=_REPORTED, **heard)
    elif one.state == MessageState.SUBMITTED:
        session.execute(update(Message).where(Message.id == one.id).values(heard))


_REPORTED = frozenset({MessageState.SUBMITTED, MessageState.UNKNOWN})
