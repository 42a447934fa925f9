"""The account: whether it lets us post, and who may probe while it does not."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models import Account
from models.lifecycle import AccountState


class Pause(NamedTuple):
    """Why nothing can be posted for now."""

    reason: str
    error_no: int | None
    http_status: int | None


def account_id_of(session: Session, login: str) -> int:
    """The row of *login*, made if it is new."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    new = {"login": login, "state": AccountState.ACTIVE, "probes": 0}
    session.execute(dialect.insert(Account).values(new).on_conflict_do_nothing(index_elements=["login"]))
    return session.scalars(select(Account.id).where(Account.login == login)).one()


def is_paused(session: Session, account_id: int) -> bool:
    """Whether only a probe may be posted now."""
    return session.scalars(select(Account.state).where(Account.id == account_id)).one() == AccountState.PAUSED


def paused(session: Session, login: str) -> Account | None:
    """The account of *login*, if it is paused."""
    return session.scalars(select(Account).where(Account.login == login, Account.state == AccountState.PAUSED)).first()


def lets_post(session: Session, account_id: int, *, now: datetime) -> bool:
    """Whether a message may be posted now, if only as a probe."""
    posts = or_(Account.state == AccountState.ACTIVE, Account.probe_at <= now)
    return session.execute(select(Account.id).where(Account.id == account_id, posts)).first() is not None


def take_probe(session: Session, account_id: int, *, now: datetime, until: datetime) -> bool:
    """Whether this caller may post the one probe that is due; no other may before *until*."""
    taken = session.execute(
        update(Account)
        .where(Account.id == account_id, Account.state == AccountState.PAUSED, Account.probe_at <= now)
        .values(probe_at=until)
        .returning(Account.id)
    )
    return taken.first() is not None


def give_back_probe(session: Session, account_id: int, *, now: datetime) -> None:
    """There was nothing to probe with: the next message may."""
    paused = (Account.id == account_id, Account.state == AccountState.PAUSED)
    session.execute(update(Account).where(*paused).values(probe_at=now))


def pause(session: Session, account_id: int, why: Pause, *, now: datetime, probe_at: datetime) -> bool:
    """Pause an active account; return whether it was this call that did."""
    paused = session.execute(
        update(Account)
        .where(Account.id == account_id, Account.state == AccountState.ACTIVE)
        .values(state=AccountState.PAUSED, paused_at=now, probe_at=probe_at, probes=0, **why._asdict())
        .returning(Account.id)
    )
    return paused.first() is not None


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
    cleared = {"reason": None, "error_no": None, "http_status": None, "paused_at": None, "probe_at": None, "probes": 0}
    resumed = session.execute(
        update(Account)
        .where(Account.id == account_id, Account.state == AccountState.PAUSED)
        .values(state=AccountState.ACTIVE, **cleared)
        .returning(Account.id)
    )
    return resumed.first() is not None
