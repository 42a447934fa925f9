"""Where the harness looks into a worker: production code has no fault points, so its own functions are wrapped.

A function that is not there any more stops the worker at its start, and so the run: what nobody looks at is not proved.
"""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from tests.chaos.steps import Conditions, Notes, Step
from worker import callbacks, intake, lanes, polling, submission, takers, upkeep, wiring
from worker.gateway import asking, connections
from worker.intake import Taken
from worker.store import callbacks as callbacks_store
from worker.store import outcomes
from worker.store import polls as polls_store
from worker.store.claims import Claimed

Around = Callable[[Callable[..., Any]], Callable[..., Any]]
BEFORE_THE_BODY = 1  # the head is one write, the body another
NO_LIMIT_PAGES = 4_294_967_294


class Witness:
    """Notes the steps of every thread of this worker."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._of_thread = threading.local()

    def watch(self) -> None:
        """Wrap every seam. Raises SystemExit where one is missing."""
        self._intake()
        self._submission()
        self._socket()
        self._polling()
        self._callbacks()
        wrap(upkeep.Upkeep, "_each", self._around_sweep)
        event.listen(Session, "before_commit", self._before_commit)
        event.listen(Session, "after_commit", self._after_commit)
        event.listen(Session, "after_rollback", self._forget)

    def _intake(self) -> None:
        wrap(takers.Takers, "_take", self._until_done)
        wrap(lanes.LaneLists, "take", self._after(lambda orders: (Step.TAKEN, len(orders))))
        wrap(intake, "_write", self._promises(Step.INSERTED, lambda _, orders, *__: len(orders)))
        wrap(intake, "_write", self._around_write)
        wrap(lanes.LaneLists, "done", self._after(lambda _: (Step.LET_GO, self._notes.mine()[1])))

    def _submission(self) -> None:
        room = submission.Submission
        wrap(room, "post_next", self._until_done)
        wrap(room, "_claim", self._around_claim)
        wrap(room, "post_claimed", self._around_post_claimed)
        wrap(room, "_begin", self._around_begin)
        wrap(room, "_post", self._around_post)
        wrap(outcomes, "accept_all", self._around_answers)
        wrap(outcomes, "lock", self._around_answers)

    def _socket(self) -> None:
        connection = connections._ConnectsFirst
        wrap(connection, "putrequest", self._around_putrequest)
        wrap(connection, "send", self._around_send)
        wrap(connection, "getresponse", self._around_getresponse)

    def _polling(self) -> None:
        room = polling.Polling
        wrap(room, "ask_next", self._until_done)
        wrap(room, "_lease", self._after(lambda leased: (Step.LEASED_POLLS, len(leased.request_ids))))
        wrap(asking.CurlQuestions, "ask", self._after(lambda _: (Step.ASKING, 1)))
        wrap(asking.CurlQuestions, "heard", self._after(lambda heard: (Step.REPORTS_IN_HAND, len(heard))))
        wrap(polls_store, "record_answers", self._promises(Step.REPORTS_STORED, lambda _, answers, **__: len(answers)))

    def _callbacks(self) -> None:
        wrap(callbacks.Callbacks, "tell_next", self._until_done)
        wrap(callbacks_store, "lease_owed", self._around_lease_owed)
        wrap(callbacks_store, "record_told", self._promises(Step.CALLBACK_RECORDED, lambda *_, **__: 1))
        wrap(wiring, "_teller", self._around_teller)

    # What is done around them.

    def _until_done(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def done(*args: Any, **options: Any) -> Any:
            result = step(*args, **options)
            self._notes.note(Step.NOWHERE, 0)  # not after an exception: what was in hand then still is
            return result

        return done

    def _after(self, seen: Callable[[Any], tuple[Step, int]]) -> Around:
        def around(function: Callable[..., Any]) -> Callable[..., Any]:
            def noted(*args: Any, **options: Any) -> Any:
                result = function(*args, **options)
                step, in_hand = seen(result)
                if in_hand:
                    self._notes.note(step, in_hand)
                return result

            return noted

        return around

    def _promises(self, step: Step, in_hand: Callable[..., int]) -> Around:
        """The function works in a transaction; *step* is reached when that is committed."""

        def around(function: Callable[..., Any]) -> Callable[..., Any]:
            def promising(*args: Any, **options: Any) -> Any:
                result = function(*args, **options)
                self._of_thread.promised = (step, in_hand(*args, **options))
                return result

            return promising

        return around

    def _before_commit(self, _: Session) -> None:
        step, in_hand = self._promised()
        if step == Step.INSERTED:
            self._notes.note(Step.BEFORE_INSERT_COMMIT, in_hand)
        for claimed in self._stored_at_once():
            self._hold(claimed, Step.CONNECTED if claimed.begins_by else Step.CLAIMED)  # perhaps begun

    def _after_commit(self, session: Session) -> None:
        step, in_hand = self._promised()
        for claimed in self._stored_at_once():
            self._hold(claimed, _at(claimed))
        self._of_thread.stored_at_once = ()
        self._forget(session)
        if in_hand:
            self._notes.note(step, in_hand)

    def _promised(self) -> tuple[Step, int]:
        return getattr(self._of_thread, "promised", (Step.NOWHERE, 0))

    def _forget(self, _: Session) -> None:
        self._of_thread.promised = (Step.NOWHERE, 0)
        for claimed in self._stored_at_once():
            self._notes.let_go(claimed.batch_id)
        self._of_thread.stored_at_once = ()

    def _stored_at_once(self) -> Sequence[Claimed]:
        found: Sequence[Claimed] = getattr(self._of_thread, "stored_at_once", ())
        return found

    def _hold(self, claimed: Claimed, step: Step) -> None:
        self._notes.hold(step, len(claimed.messages), claimed.batch_id)

    def _around_write(self, write: Callable[..., Taken]) -> Callable[..., Taken]:
        """What the takers' transaction has claimed is in no thread's hands until one posts it."""

        def writing(*args: Any, **options: Any) -> Taken:
            taken = write(*args, **options)
            self._of_thread.stored_at_once = taken.claimed
            return taken

        return writing

    def _around_claim(self, claim: Callable[..., Any]) -> Callable[..., Any]:
        def claiming(*args: Any, **options: Any) -> Any:
            found = claim(*args, **options)
            for claimed in found if isinstance(found, tuple) else (found,):
                if isinstance(claimed, Claimed):
                    self._notes.note(Step.CLAIMED, len(claimed.messages), claimed.batch_id)
            return found

        return claiming

    def _around_post_claimed(self, post: Callable[..., Any]) -> Callable[..., Any]:
        def posting(room: Any, claimed: Claimed, *args: Any) -> None:
            if self._notes.mine()[2] != claimed.batch_id:
                self._notes.note(_at(claimed), len(claimed.messages), claimed.batch_id)
            self._notes.let_go(claimed.batch_id)
            post(room, claimed, *args)
            self._again_at(Step.RECORDED)
            self._notes.note(Step.NOWHERE, 0)

        return posting

    def _around_begin(self, begin: Callable[..., Any]) -> Callable[..., Any]:
        def beginning(room: Any, claimed: Claimed) -> Any:
            if not claimed.begins_by:
                self._notes.note(Step.CONNECTED, len(claimed.messages), claimed.batch_id)
            result = begin(room, claimed)
            self._notes.note(Step.BEGUN, len(claimed.messages), claimed.batch_id)
            return result

        return beginning

    def _around_post(self, post: Callable[..., Any]) -> Callable[..., Any]:
        def posting(*args: Any, **options: Any) -> Any:
            outcome = post(*args, **options)
            if Step.AT_ONCE <= self._notes.mine()[0] <= Step.HEAD_READ:
                self._again_at(Step.ANSWERED)
            return outcome

        return posting

    def _around_answers(self, write: Callable[..., Any]) -> Callable[..., Any]:
        """One thread may store the answers of several; of them all it notes its own."""

        def writing(*args: Any, **options: Any) -> Any:
            result = write(*args, **options)
            if self._notes.mine()[0] == Step.ANSWERED:
                self._again_at(Step.RECORDING)
            return result

        return writing

    def _again_at(self, step: Step) -> None:
        _, in_hand, batch_id = self._notes.mine()
        self._notes.note(step, in_hand, batch_id)

    def _around_putrequest(self, putrequest: Callable[..., Any]) -> Callable[..., Any]:
        def putting(*args: Any, **options: Any) -> Any:
            self._of_thread.writes = 0
            return putrequest(*args, **options)

        return putting

    def _around_send(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def sending(connection: Any, data: Any) -> None:
            writes = self._of_thread.writes = getattr(self._of_thread, "writes", 0) + 1
            if writes <= BEFORE_THE_BODY or self._notes.mine()[0] != Step.BEGUN:
                send(connection, data)
                return
            if Step.HALF_WRITTEN in self._notes.armed():  # else the body goes as it does in production
                half = len(data) // 2
                send(connection, data[:half])
                self._again_at(Step.HALF_WRITTEN)
                data = data[half:]
            send(connection, data)
            self._again_at(Step.WRITTEN)

        return sending

    def _around_getresponse(self, getresponse: Callable[..., Any]) -> Callable[..., Any]:
        def getting(*args: Any, **options: Any) -> Any:
            response = getresponse(*args, **options)
            if self._notes.mine()[0] == Step.WRITTEN:
                self._again_at(Step.HEAD_READ)
            return response

        return getting

    def _around_lease_owed(self, lease: Callable[..., Any]) -> Callable[..., Any]:
        def leasing(*args: Any, **options: Any) -> Any:
            owed = lease(*args, **options)
            self._of_thread.promised = (Step.LEASED_CALLBACKS, len(owed))
            return owed

        return leasing

    def _around_teller(self, teller: Callable[..., Any]) -> Callable[..., Any]:
        def making(*args: Any, **options: Any) -> Any:
            tell = teller(*args, **options)

            def telling(owed: Any) -> None:
                tell(owed)
                self._notes.note(Step.TOLD, 1)

            return telling

        return making

    def _around_sweep(self, each: Callable[..., Any]) -> Callable[..., Any]:
        def sweeping(room: Any, sweep: Callable[..., int]) -> Any:
            def noted(*args: Any, **options: Any) -> int:
                found = sweep(*args, **options)
                if found:
                    self._notes.note(Step.SWEEPING, found)
                return found

            result = each(room, noted)
            self._notes.note(Step.NOWHERE, 0)
            return result

        return sweeping


def _at(claimed: Claimed) -> Step:
    """Where a batch is that nobody has posted yet."""
    return Step.AT_ONCE if claimed.begins_by else Step.CLAIMED


def fill_disks(conditions: Conditions, notes: Notes) -> None:
    """Let SQLite's real SQLITE_FULL come while the disk is said to be full."""

    def limit(connection: Any, *_: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            (pages,) = (
                connection.execute("PRAGMA page_count").fetchone() if conditions.disk_is_full else [NO_LIMIT_PAGES]
            )
            connection.execute(f"PRAGMA max_page_count = {pages}")

    def count(context: Any) -> None:
        if "disk is full" in str(context.original_exception):
            notes.say_disk_full()

    event.listen(Pool, "checkout", limit)
    event.listen(Engine, "handle_error", count)


def wrap(owner: Any, name: str, around: Around) -> None:
    """Put *around* around a function of a class or a module."""
    function = getattr(owner, name, None)
    if function is None:
        raise SystemExit(f"chaos: {owner.__name__} has no {name} any more; correct tests/chaos/seams.py")
    setattr(owner, name, wraps(function)(around(function)))
