"""What a person on call does: look at what is in doubt and decide, pause and resume, bring a backup back to life."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session, sessionmaker

from models import Account, Message
from models.lifecycle import Verdict
from worker.errors import SmsError
from worker.store import accounts, decisions, recovery, unconfirmed
from worker.store.engine import reading
from worker.store.unconfirmed import Chosen, Unconfirmed

AT_ONCE = 500  # messages in one transaction: a worker never waits long for it


class NewerMessages(SmsError):
    """Messages are there that cannot be from the backup; the message says how many, and what to do."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at the command line or the web page; *who* stands in the audit."""

    sessions: sessionmaker[Session]
    login: str  #: of the vendor's account
    who: str
    now: Callable[[], datetime]

    def unconfirmed(self, chosen: Chosen) -> Iterator[Unconfirmed]:
        """All that is in doubt and meets *chosen*, in the order it was stored."""
        last = 0
        while True:
            with reading(self.sessions) as session:
                page = unconfirmed.listed(session, chosen, after_id=last, limit=AT_ONCE)
            yield from page
            if len(page) < AT_ONCE:
                return
            last = page[-1].id

    def decide(self, verdict: Verdict, chosen: Chosen) -> int:
        """Resend or drop what is in doubt and meets *chosen*; return how many messages.

        Whatever becomes unconfirmed meanwhile, or anew, is left alone.
        """
        last = moved = 0
        while True:
            with self.sessions.begin() as session:
                ids = unconfirmed.ids(session, chosen, after_id=last, limit=AT_ONCE)
                moved += self._decide(session, verdict, ids) if ids else 0
            if len(ids) < AT_ONCE:
                return moved
            last = ids[-1]

    def pause(self, reason: str | None = None) -> bool:
        """Let nothing be posted, by any worker, until somebody resumes; return False if it was so already."""
        with self.sessions.begin() as session:
            account_id = accounts.account_id_of(session, self.login)
            return accounts.hold(session, account_id, now=self.now(), who=self.who, reason=reason)

    def resume(self) -> bool:
        """Let posting go on at once, whatever kept us from it; return False if nothing did."""
        with self.sessions.begin() as session:
            account_id = accounts.account_id_of(session, self.login)
            return accounts.let_go(session, account_id, now=self.now(), who=self.who)

    def recover(self, since: datetime, *, leave_newer: bool = False) -> int:
        """After a restore of the backup made at *since*: what may have been posted after it is in doubt; how many.

        No worker may run. Raises `NewerMessages` unless *leave_newer*, if there are messages that are not in the
        backup: then either *since* is wrong, or workers have run already.
        """
        with self.sessions.begin() as session:
            account_id = accounts.account_id_of(session, self.login)
            newer = recovery.newer_than(session, since)
            if newer.messages and not leave_newer:
                raise NewerMessages(
                    f"{newer.messages} messages that wait to be posted were stored after {since.isoformat()}, the last "
                    f"at {newer.newest_at}: if the backup was made later, say so with --since; if workers have run since "
                    "the restore, --leave-newer leaves these as they are. Nothing was changed."
                )
            doubtful = recovery.doubt_posting(session, now=self.now(), who=self.who)
        while found := self._doubt_queued(account_id, since):
            doubtful += found
        return doubtful

    def _decide(self, session: Session, verdict: Verdict, ids: Sequence[int]) -> int:
        decide = {Verdict.RESEND: decisions.resend, Verdict.DROP: decisions.drop}[verdict]
        return decide(session, Message.id.in_(ids), now=self.now(), who=self.who)

    def _doubt_queued(self, account_id: int, since: datetime) -> int:
        with self.sessions.begin() as session:
            return recovery.doubt_queued(session, account_id=account_id, since=since, now=self.now(), who=self.who)


def standing_of(sessions: sessionmaker[Session], login: str) -> Account | None:
    """The account of *login* as it stands in the table, if it may not post."""
    with reading(sessions) as session:
        return accounts.standing(session, login)
