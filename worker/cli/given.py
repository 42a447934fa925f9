"""What a person wrote on the command line, read and checked."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from worker.errors import SmsError

MOST_PORTS = 65_535


class WrongInput(SmsError):
    """An argument is wrong; the message is the one line that says which, and what is allowed."""


def moment(written: str | None, option: str, zone: ZoneInfo) -> datetime | None:
    """The instant of an ISO 8601 time; without an offset it is in *zone*, as producers' times are.

    Raises `WrongInput`, which names *option*.
    """
    if written is None:
        return None
    try:
        at = datetime.fromisoformat(written)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise WrongInput(
            f"{option} {written!r} is no time: give ISO 8601 such as 2026-11-30T09:00:00+05:00; "
            f"without an offset it is read as {zone.key}."
        ) from None


def words(written: str | None, option: str) -> str | None:
    """*written*, if it was given at all. Raises `WrongInput` if there is nothing in it."""
    if written is not None and not written.strip():
        raise WrongInput(f"{option} is empty: write something after it, or leave it out.")
    return written


def address(written: str) -> tuple[str, int]:
    """Host and port. Raises `WrongInput`.

    >>> address("[::1]:9178")
    ('::1', 9178)
    """
    host, _, port = written.rpartition(":")
    if not host or not port.isdecimal() or int(port) > MOST_PORTS:
        raise WrongInput(f"{written!r} is no address to listen on: give HOST:PORT such as 127.0.0.1:9178.")
    return host.strip("[]"), int(port)
