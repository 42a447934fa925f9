"""Who is logged in. It is kept in this process's memory: a restart logs everybody out."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from worker.web.visitors import Visitor

LASTS = timedelta(hours=12)
COOKIE = "sms_session"


class _Session(NamedTuple):
    visitor: Visitor
    until: datetime


class WebSessions:
    """A secret word in a cookie stands for each of them."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._of: dict[str, _Session] = {}
        self._lock = Lock()

    def begin(self, visitor: Visitor) -> str:
        """Log *visitor* in for `LASTS`; return the word."""
        word, now = secrets.token_urlsafe(32), self._now()
        with self._lock:
            self._of = {known: session for known, session in self._of.items() if session.until > now}
            self._of[word] = _Session(visitor, now + LASTS)
        return word

    def whose(self, word: str) -> Visitor | None:
        """Who is logged in by *word*, if anybody still is."""
        session = self._of.get(word)
        return session.visitor if session and session.until > self._now() else None

    def end(self, word: str) -> None:
        """Log out; *word* stands for nobody from now on."""
        with self._lock:
            self._of.pop(word, None)
