"""What people and producers decide about a message."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, insert, select
from sqlalchemy.orm import Session

from models import Decision, Message
from models.lifecycle import MessageState, Verdict
from worker.store.moves import Moved, move

DROPPED = "dropped"
BY_PERSON = "cancelled_by_person"
AT_ONCE = 1_000  # no database takes any number of values in one statement


def cancel(session: Session, uid: str, *, now: datetime, reason: str) -> tuple[bool, bool]:
    """Stop a message that is not posted yet; return whether there is such a message at all, and whether it stopped."""
    # By its id: with a stale idea of how few are queued, PostgreSQL would look for the uid among all of them.
    found = session.scalars(select(Message.id).where(Message.uid == uid)).first()
    if found is None:
        return False, False
    return True, bool(move(session, MessageState.CANCELLED, Message.id == found, now=now, reason=reason))


def cancel_by_person(session: Session, uids: Sequence[str], *, now: datetime, who: str) -> set[str]:
    """Stop those of *uids* that are queued, and return them."""
    return _decided(session, Verdict.CANCEL, uids, MessageState.CANCELLED, now=now, who=who, reason=BY_PERSON)


def ask_again(session: Session, uids: Sequence[str], *, now: datetime, who: str) -> set[str]:
    """Let the gateway be asked about those of *uids* that are unknown, and return them.

    Once: what is as old as that becomes unknown again unless the report is final.
    """
    return _decided(session, Verdict.ASK, uids, MessageState.SUBMITTED, now=now, who=who, next_poll_at=now)


def resend(session: Session, *criteria: ColumnElement[bool], now: datetime, who: str, by: str | None = None) -> int:
    """Let unconfirmed messages be posted again, which may make them arrive twice; return how many.

    *who* stands in the audit; *by* names the decision where that is not the same.
    """
    again = {"resends": Message.resends + 1, "resolved_by": by or who}
    before = _reasons(session, criteria)
    moved = move(session, MessageState.QUEUED, *criteria, now=now, sources=_UNCONFIRMED, **again)
    return _audited(session, Verdict.RESEND, moved, before, now=now, who=who)


def drop(
    session: Session,
    *criteria: ColumnElement[bool],
    now: datetime,
    who: str,
    by: str | None = None,
    reason: str = DROPPED,
) -> int:
    """Give unconfirmed messages up, which may have arrived all the same; return how many. See `resend`."""
    given_up = {"reason": reason, "resolved_by": by or who}
    before = _reasons(session, criteria)
    moved = move(session, MessageState.FAILED, *criteria, now=now, sources=_UNCONFIRMED, **given_up)
    return _audited(session, Verdict.DROP, moved, before, now=now, who=who)


def resolve(session: Session, uids: Sequence[str], decision: str, *, now: datetime, by: str) -> int:
    """Carry out a producer's decision about those of *uids* that are unconfirmed.

    *by* names the decision: redelivered, it is not carried out on a message that was cut off anew meanwhile.
    """
    who = f"order:{by}"
    audited = exists().where(Decision.uid == Message.uid, Decision.who == who)
    not_yet = (Message.resolved_by.is_distinct_from(by), ~audited)  # the last release's workers write no audit
    decide = resend if decision == "resend" else drop
    slices = (uids[start : start + AT_ONCE] for start in range(0, len(uids), AT_ONCE))
    return sum(decide(session, Message.uid.in_(some), *not_yet, now=now, who=who, by=by) for some in slices)


def audit(session: Session, what: Verdict, uids: Mapping[str, str | None], *, now: datetime, who: str) -> None:
    """Write down a decision about messages; *uids* gives why each of them was in doubt."""
    rows = [{"at": now, "who": who, "what": what, "uid": uid, "reason": reason} for uid, reason in uids.items()]
    if rows:
        session.execute(insert(Decision), rows)


def _decided(
    session: Session,
    what: Verdict,
    uids: Sequence[str],
    target: MessageState,
    *,
    now: datetime,
    who: str,
    **values: Any,
) -> set[str]:
    source = {Verdict.CANCEL: MessageState.QUEUED, Verdict.ASK: MessageState.UNKNOWN}[what]
    # By their ids: with a stale idea of how few are in a state, PostgreSQL would look for the uids among all of them.
    ids = session.scalars(select(Message.id).where(Message.uid.in_(uids))).all()
    moved = move(session, target, Message.id.in_(ids), now=now, sources=[source], **values)
    audit(session, what, {one.uid: None for one in moved}, now=now, who=who)
    return {one.uid for one in moved}


def _reasons(session: Session, criteria: tuple[ColumnElement[bool], ...]) -> dict[str, str | None]:
    unconfirmed = select(Message.uid, Message.reason).where(Message.state == MessageState.UNCONFIRMED, *criteria)
    return {uid: reason for uid, reason in session.execute(unconfirmed.with_for_update())}  # noqa: C416


def _audited(
    session: Session,
    what: Verdict,
    moved: Sequence[Moved],
    before: Mapping[str, str | None],
    *,
    now: datetime,
    who: str,
) -> int:
    audit(session, what, {one.uid: before.get(one.uid) for one in moved}, now=now, who=who)
    return len(moved)


_UNCONFIRMED = frozenset({MessageState.UNCONFIRMED})
