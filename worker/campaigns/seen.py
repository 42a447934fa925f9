"""How often each phone of a file came already, in a temporary file of SQLite's, so that no memory grows with it."""

import sqlite3
from typing import NamedTuple

COUNT = (
    "INSERT INTO seen (phone, times, line) VALUES (?, 1, ?) "
    "ON CONFLICT (phone) DO UPDATE SET times = times + 1 RETURNING times, line"
)


class Occurrence(NamedTuple):
    """One of a phone's rows."""

    times: int  #: 1 for the first
    first_line: int


class Seen:
    """Everything that was counted by one reading of the file."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # on disk where it outgrows its cache; gone with us
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (phone TEXT PRIMARY KEY, times INT, line INT) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def count(self, phone: str, line: int) -> Occurrence:
        """One more."""
        return Occurrence(*self._database.execute(COUNT, (phone, line)).fetchone())

    def close(self) -> None:
        """Forget them."""
        self._database.close()
