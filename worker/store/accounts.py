"""The account: whether it and the circuit let us post, and who may probe while they do not."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models import Account, Circuit, Decision
from models.lifecycle import AccountState, CircuitState, Room, Verdict
from worker.errors import DatabaseRestored
from worker.store import circuits
from worker.store.noted import note

BY_RESTORE = "restored database"  #: holds the account until `sms recover` was run
AFTER = ", after "  # a person, whose hold it was before


class Pause(NamedTuple):
    """Why nothing can be posted for now."""

    reason: str
    error_no: int | None
    http_status: int | None


class Gate(NamedTuple):
    """What stood in the way of posting when it was looked at."""

    held: bool = False  #: by a person; not even a probe
    paused: bool = False  #: the account's own trouble
    open: bool = False  #: the posting circuit

    @property
    def is_free(self) -> bool:
        """Whether batches may be posted as usual."""
        return not (self.held or self.paused or self.open)


def account_id_of(session: Session, login: str) -> int:
    """The row of *login*, made if it is new, with its circuits."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    new = {"login": login, "state": AccountState.ACTIVE, "probes": 0}
    session.execute(dialect.insert(Account).values(new).on_conflict_do_nothing(index_elements=["login"]))
    account_id = session.scalars(select(Account.id).where(Account.login == login)).one()
    circuits.prepare(session, account_id)
    return account_id


def standing(session: Session, login: str) -> Account | None:
    """The account of *login*, if a person or its own trouble keeps it from posting."""
    stands = or_(Account.state == AccountState.PAUSED, Account.held_at.is_not(None))
    return session.scalars(select(Account).where(Account.login == login, stands)).first()


def gate_of(session: Session, account_id: int) -> Gate:
    """What stands in the way of posting now."""
    columns = (Account.held_at, Account.state, Circuit.state.label("circuit"))
    row = session.execute(select(*columns).join(Circuit, _posting).where(Account.id == account_id)).one()
    paused, is_open = row.state == AccountState.PAUSED, row.circuit == CircuitState.OPEN
    return Gate(row.held_at is not None, paused, is_open)


def lets_post(session: Session, account_id: int, *, now: datetime) -> bool:
    """Whether a message may be posted now, if only as a probe."""
    posts = (
        Account.held_at.is_(None),
        or_(Account.state == AccountState.ACTIVE, Account.probe_at <= now),
        or_(Circuit.state == CircuitState.CLOSED, Circuit.probe_at <= now),
    )
    found = select(Account.id).join(Circuit, _posting).where(Account.id == account_id, *posts)
    return session.execute(found).first() is not None


def take_probe(session: Session, account_id: int, gate: Gate, *, now: datetime, until: datetime) -> bool:
    """Whether this caller may post the one probe that is due; no other may before *until*."""
    if not lets_post(session, account_id, now=now):
        return False
    if gate.paused and not _take(session, account_id, now, until):
        return False
    taken = not gate.open or circuits.take_probe(session, account_id, Room.POSTING, now=now, until=until)
    if not taken:
        _give_back(session, account_id, now)
    return taken


def give_back_probe(session: Session, account_id: int, *, now: datetime) -> None:
    """There was nothing to probe with: the next message may."""
    _give_back(session, account_id, now)
    circuits.give_back_probe(session, account_id, Room.POSTING, now=now)


def let_others_go(session: Session, login: str) -> None:
    """Accounts of logins that are no longer set: nobody else would ever take their trouble back."""
    others = select(Account.id).where(Account.login != login)
    in_trouble = or_(Account.state == AccountState.PAUSED, Account.held_at.is_not(None))
    session.execute(update(Account).where(Account.id.in_(others), in_trouble).values(_WELL | _NOT_HELD))
    circuits.forget_all(session, others)


def hold(session: Session, account_id: int, *, now: datetime, who: str, reason: str | None) -> bool:
    """Post nothing until somebody resumes; return False if it was held already.

    A restored database holds it more firmly than a person does, whose own hold stands again after the recovery.
    """
    held_by = session.scalars(select(Account.held_by).where(Account.id == account_id).with_for_update()).one()
    if held_by and (who != BY_RESTORE or held_by.startswith(BY_RESTORE)):
        return False
    holder = f"{BY_RESTORE}{AFTER}{held_by}" if held_by else who
    session.execute(update(Account).where(Account.id == account_id).values(held_at=now, held_by=holder))
    session.execute(insert(Decision), [_decision(Verdict.PAUSE, now, who, reason)])
    return True


def let_go(session: Session, account_id: int, *, now: datetime, who: str, recovered: bool = False) -> bool:
    """Post again at once, whatever kept us from it; return False if nothing did.

    Raises `DatabaseRestored` if it is held because the database is behind, and that was not *recovered*.
    """
    kept = session.scalars(select(Account).where(Account.id == account_id)).one()
    by_restore, _, person = (kept.held_by or "").partition(AFTER)
    if by_restore == BY_RESTORE and not recovered:
        raise DatabaseRestored(
            "The database came from a backup, and would post again what was posted since. Stop all workers, then run: "
            "sms recover --since TIME, the moment of the backup."
        )
    before = gate_of(session, account_id)
    if before.is_free:
        return False
    session.execute(insert(Decision), [_decision(Verdict.RESUME, now, who, kept.held_by or kept.reason)])
    still_held = {"held_at": now, "held_by": person} if person else _NOT_HELD
    session.execute(update(Account).where(Account.id == account_id).values(still_held))
    resume(session, account_id)
    circuits.close(session, account_id, Room.POSTING)
    return True


def pause(session: Session, account_id: int, why: Pause, *, now: datetime, probe_at: datetime) -> bool:
    """Pause an active account; return whether it was this call that did."""
    paused = session.execute(
        update(Account)
        .where(Account.id == account_id, Account.state == AccountState.ACTIVE)
        .values(state=AccountState.PAUSED, paused_at=now, probe_at=probe_at, probes=0, **why._asdict())
        .returning(Account.id)
    )
    if paused.first() is None:
        return False
    note(session, "sms_account_pauses")
    return True


def prolong(session: Session, account_id: int, why: Pause, *, probe_at: datetime) -> None:
    """A probe failed: the next one comes at *probe_at*."""
    session.execute(
        update(Account)
        .where(Account.id == account_id, Account.state == AccountState.PAUSED)
        .values(probe_at=probe_at, probes=Account.probes + 1, **why._asdict())
    )


def probes_of(session: Session, account_id: int) -> int:
    """How many probes failed in the present pause."""
    return session.scalars(select(Account.probes).where(Account.id == account_id)).one()


def resume(session: Session, account_id: int) -> bool:
    """The gateway takes messages again; return whether the account had been paused."""
    paused = (Account.id == account_id, Account.state == AccountState.PAUSED)
    return session.execute(update(Account).where(*paused).values(_WELL).returning(Account.id)).first() is not None


_NO_TROUBLE = {"reason": None, "error_no": None, "http_status": None, "paused_at": None, "probe_at": None, "probes": 0}
_WELL = {"state": AccountState.ACTIVE} | _NO_TROUBLE
_NOT_HELD = {"held_at": None, "held_by": None}
_posting = and_(Circuit.account_id == Account.id, Circuit.room == Room.POSTING)


def _take(session: Session, account_id: int, now: datetime, until: datetime) -> bool:
    due = (Account.id == account_id, Account.state == AccountState.PAUSED, Account.probe_at <= now)
    return session.execute(update(Account).where(*due).values(probe_at=until).returning(Account.id)).first() is not None


def _give_back(session: Session, account_id: int, now: datetime) -> None:
    paused = (Account.id == account_id, Account.state == AccountState.PAUSED)
    session.execute(update(Account).where(*paused).values(probe_at=now))


def _decision(what: Verdict, now: datetime, who: str, reason: str | None) -> dict[str, object]:
    return {"at": now, "who": who, "what": what, "uid": None, "reason": reason}
