"""One-time codes in SQLite: hashed, few tries, few of them for one phone and from one address."""

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

LIFE = timedelta(minutes=2)
TRIES = 5
PAUSE = timedelta(seconds=60)  #: between two codes for one phone
HOUR = timedelta(hours=1)
AN_HOUR = 3  #: codes for one phone, and from one address

SCHEMA = """
CREATE TABLE IF NOT EXISTS codes (
    id TEXT PRIMARY KEY, phone TEXT NOT NULL, address TEXT NOT NULL, digest BLOB NOT NULL, made_at REAL NOT NULL,
    expires_at REAL NOT NULL, tries INTEGER NOT NULL DEFAULT 0, used INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS codes_phone ON codes (phone, made_at);
CREATE INDEX IF NOT EXISTS codes_address ON codes (address, made_at);
"""
# A try counts before it is looked at: many at once are not more than five.
TRY = "UPDATE codes SET tries = tries + 1 WHERE id = ? AND used = 0 AND tries < ? AND expires_at > ? RETURNING digest"


class TooMany(Exception):
    """No code now: ask again after so many seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__("too many codes")
        self.wait_seconds = int(wait) + 1


class NotValid(Exception):
    """Expired, used, tried too often, or never made: only a new code helps."""


@dataclass(frozen=True)
class Code:
    """A new code. Its digits are nowhere else, and not in its repr."""

    id: str
    digits: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class Codes:
    """The table. *secret* keys the HMAC: six digits alone are guessed from a bare hash in no time."""

    file: Path
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        with self._changing() as db:
            for statement in SCHEMA.split(";"):
                db.execute(statement)

    def make(self, phone: str, address: str, now: datetime) -> Code:
        """Make a code for *phone*, asked for from *address*. Raises `TooMany`."""
        code = Code(secrets.token_urlsafe(16), f"{secrets.randbelow(1_000_000):06d}", now + LIFE)
        at = now.timestamp()
        row = (code.id, phone, address, self._digest(code.id, code.digits), at, code.expires_at.timestamp())
        with self._changing() as db:  # looked and written at once, so two requests cannot both be the third
            db.execute("DELETE FROM codes WHERE made_at < ?", (at - HOUR.total_seconds(),))
            _refuse_too_many(db, phone, address, at)
            db.execute("INSERT INTO codes (id, phone, address, digest, made_at, expires_at) VALUES (?,?,?,?,?,?)", row)
        return code

    def check(self, code_id: str, digits: str, now: datetime) -> bool:
        """Whether these are its digits; right ones are good once. Raises `NotValid`."""
        with self._changing() as db:
            found = db.execute(TRY, (code_id, TRIES, now.timestamp())).fetchone()
            if not found:
                raise NotValid
            right = hmac.compare_digest(found[0], self._digest(code_id, digits))
            db.execute("UPDATE codes SET used = ? WHERE id = ?", (right, code_id))
        return right

    def _digest(self, code_id: str, digits: str) -> bytes:
        return hmac.new(self.secret, f"{code_id}:{digits}".encode(), hashlib.sha256).digest()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone from its first statement on."""
        db = sqlite3.connect(self.file, isolation_level=None, timeout=10)
        try:
            with db:
                db.execute("BEGIN IMMEDIATE")
                yield db
        finally:
            db.close()


def _refuse_too_many(db: sqlite3.Connection, phone: str, address: str, at: float) -> None:
    latest = "SELECT made_at FROM codes WHERE made_at > ? AND {} = ? ORDER BY made_at DESC LIMIT 1 OFFSET ?"
    limits = (("phone", phone, PAUSE, 0), ("phone", phone, HOUR, AN_HOUR - 1), ("address", address, HOUR, AN_HOUR - 1))
    waits = []
    for column, value, window, offset in limits:
        seconds = window.total_seconds()
        made = db.execute(latest.format(column), (at - seconds, value, offset)).fetchone()
        waits.append(made[0] + seconds - at if made else 0)
    if max(waits) > 0:
        raise TooMany(max(waits))
