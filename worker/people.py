"""What a person on call does: look at what is in doubt and decide, pause and resume, bring a backup back to life."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from redis.exceptions import RedisError
from sqlalchemy import tuple_
from sqlalchemy.orm import Session, sessionmaker

from models import Account, Message
from models.lifecycle import Lane, Verdict
from worker.errors import SmsError
from worker.store import accounts, blocks, decisions, recovery, unconfirmed
from worker.store.blocks import Blocked
from worker.store.engine import reading
from worker.store.unconfirmed import Chosen, Post, Unconfirmed
from worker.watermark import Watermark

AT_ONCE = 500  # messages or numbers in one transaction: a worker never waits long for it


class NewerMessages(SmsError):
    """Messages are there that cannot be from the backup; the message says how many, and what to do."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at the command line or the web page; *who* stands in the audit."""

    sessions: sessionmaker[Session]
    login: str  #: of the vendor's account
    who: str
    now: Callable[[], datetime]
    watermark: Watermark | None = None  #: None where there is no Redis to keep it

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
        with reading(self.sessions) as session:
            found = unconfirmed.posts(session, chosen)
        slices = (found[start : start + AT_ONCE] for start in range(0, len(found), AT_ONCE))
        return sum(self._decide(verdict, some) for some in slices)

    def cancel(self, uids: Sequence[str]) -> set[str]:
        """Stop those of *uids*, up to a thousand, that are not posted yet, and return them."""
        with self.sessions.begin() as session:
            return decisions.cancel_by_person(session, uids, now=self.now(), who=self.who)

    def ask_again(self, uids: Sequence[str]) -> set[str]:
        """Let the gateway be asked once more about those of *uids*, up to a thousand, that are unknown; return them."""
        with self.sessions.begin() as session:
            return decisions.ask_again(session, uids, now=self.now(), who=self.who)

    def pause(self, reason: str | None = None) -> bool:
        """Let nothing be posted, by any worker, until somebody resumes; return False if it was so already."""
        with self.sessions.begin() as session:
            account_id = accounts.account_id_of(session, self.login)
            return accounts.hold(session, account_id, now=self.now(), who=self.who, reason=reason)

    def resume(self) -> bool:
        """Let posting go on at once, whatever kept us from it; return False if nothing did.

        Raises `DatabaseRestored` if it is held until `recover` was run.
        """
        with self.sessions.begin() as session:
            account_id = accounts.account_id_of(session, self.login)
            return accounts.let_go(session, account_id, now=self.now(), who=self.who)

    def block(self, phones: Sequence[str], *, lanes: Sequence[Lane], reason: str | None = None) -> Blocked:
        """Let *phones* get nothing more by *lanes*, and cancel what is queued for them; see `worker.store.blocks`."""
        added = cancelled = 0
        for start in range(0, len(phones), AT_ONCE):
            some = phones[start : start + AT_ONCE]
            with self.sessions.begin() as session:
                done = blocks.block(session, some, lanes=lanes, now=self.now(), who=self.who, reason=reason)
            added, cancelled = added + done.added, cancelled + done.cancelled
        return Blocked(added, cancelled)

    def unblock(self, phones: Sequence[str], *, lanes: Sequence[Lane]) -> int:
        """Let *phones* be written to again by *lanes*; return how many blocks that lifted."""
        lifted = 0
        for start in range(0, len(phones), AT_ONCE):
            some = phones[start : start + AT_ONCE]
            with self.sessions.begin() as session:
                lifted += blocks.lift(session, some, lanes=lanes, now=self.now(), who=self.who)
        return lifted

    def blocked(self, chosen: blocks.Chosen) -> Iterator[blocks.Listed]:
        """All blocks that meet *chosen*, the last one first."""
        before = None
        while True:
            with reading(self.sessions) as session:
                page = blocks.listed(session, chosen, before_id=before, limit=AT_ONCE)
            yield from page
            if len(page) < AT_ONCE:
                return
            before = page[-1].id

    def recover(self, since: datetime, *, leave_newer: bool = False) -> int:
        """After a restore of the backup made at *since*: what may have been posted after it is in doubt; how many.

        No worker may run. Raises `NewerMessages` unless *leave_newer*, if there are messages that are not in the
        backup: then either *since* is wrong, or workers have run already.
        """
        with self.sessions.begin() as session:
            account_id = accounts.account_id_of(session, self.login)
            self._refuse_newer(session, since, leave_newer=leave_newer)
            # Broken off in the middle, it must be run again before anything is posted.
            accounts.hold(session, account_id, now=self.now(), who=accounts.BY_RESTORE, reason="sms recover")
            doubtful = recovery.doubt_posting(session, since=since, now=self.now(), who=self.who)
        doubtful += self._all_of(partial(recovery.doubt_again, since=since))
        doubtful += self._all_of(partial(recovery.doubt_queued, account_id=account_id, since=since))
        self._begin_anew(account_id)
        return doubtful

    def _refuse_newer(self, session: Session, since: datetime, *, leave_newer: bool) -> None:
        newer = recovery.newer_than(session, since)
        if newer.messages and not leave_newer:
            raise NewerMessages(
                f"{newer.messages} messages that wait to be posted were stored after {since.isoformat()}, the last "
                f"at {newer.newest_at}: if the backup was made later, say so with --since; if workers have run "
                "since the restore, --leave-newer leaves these as they are. Nothing was changed."
            )

    def _begin_anew(self, account_id: int) -> None:
        """Let workers start and post on this database again."""
        with reading(self.sessions) as session:
            last = recovery.last_batch(session)
        try:
            if self.watermark:
                self.watermark.begin_anew(last)
        except RedisError as error:
            raise SmsError(
                f"What may have been posted is in doubt now, but Redis does not answer ({type(error).__name__}), and "
                "until it knows of this workers refuse to start: run the same again once it is there."
            ) from None
        with self.sessions.begin() as session:
            accounts.let_go(session, account_id, now=self.now(), who=self.who, recovered=True)

    def _all_of(self, step: Callable[..., int]) -> int:
        """Repeat a step that does only so much in one transaction."""
        done = 0
        while True:
            with self.sessions.begin() as session:
                rows = step(session, now=self.now(), who=self.who)
            if not rows:
                return done
            done += rows

    def _decide(self, verdict: Verdict, some: Sequence[Post]) -> int:
        decide = {Verdict.RESEND: decisions.resend, Verdict.DROP: decisions.drop}[verdict]
        these = (Message.id.in_([one.sms_id for one in some]), tuple_(Message.id, Message.batch_id).in_(some))
        with self.sessions.begin() as session:
            return decide(session, *these, now=self.now(), who=self.who)


def standing_of(sessions: sessionmaker[Session], login: str) -> Account | None:
    """The account of *login* as it stands in the table, if it may not post."""
    with reading(sessions) as session:
        return accounts.standing(session, login)
