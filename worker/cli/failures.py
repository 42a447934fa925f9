"""What a person is told when the database or Redis fails in the middle of a command: never a value, never SQL."""

import re

from alembic.util import CommandError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

AGAIN = "It may be done in part: run it again."


def words_for(error: Exception) -> str | None:
    """One line for *error*, which holds no more than its class; None if it comes from somewhere else."""
    if isinstance(error, SQLAlchemyError):
        return f"The database could not do it ({_kind(error)}). {AGAIN}"
    if isinstance(error, RedisError):
        return f"Redis could not do it ({_in_words(type(error).__name__)}). {AGAIN}"
    if isinstance(error, CommandError):
        return f"The migration could not be done: {str(error).partition(chr(10))[0]}"
    return None


def _kind(error: SQLAlchemyError) -> str:
    orig = error.orig if isinstance(error, DBAPIError) and error.orig else error
    # psycopg has a class for each kind of error, sqlite3 a name such as SQLITE_BUSY.
    name = getattr(orig, "sqlite_errorname", None) or type(orig).__name__
    return _in_words(name.removeprefix("SQLITE_"))


def _in_words(name: str) -> str:
    """A class's or a constant's name as a person reads it.

    >>> _in_words("LockNotAvailable"), _in_words("BUSY_SNAPSHOT")
    ('lock not available', 'busy snapshot')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()
