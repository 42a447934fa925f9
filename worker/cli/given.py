"""What a person wrote on the command line, read and checked."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import typer

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


def span(since: str | None, until: str | None, zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    """The instants of ``--since`` and ``--until``. Raises `WrongInput` if nothing can lie between them."""
    first, end = moment(since, "--since", zone), moment(until, "--until", zone)
    if first and end and first >= end:
        raise WrongInput("--since is not before --until, so that nothing can lie between them: exchange them.")
    return first, end


def words(written: str | None, option: str) -> str | None:
    """*written*, if it was given at all. Raises `WrongInput` if there is nothing in it."""
    if written is not None and not written.strip():
        raise WrongInput(f"{option} is empty: write something after it, or leave it out.")
    return written


def said(ctx: typer.Context) -> list[str]:
    """The options as they were given, but for where the page began."""
    again: list[str] = []
    for option in ctx.command.params:
        value = ctx.params.get(option.name or "")
        if option.name == "before" or value in (None, False, ()) or value == option.default:
            continue
        many = value if isinstance(value, list | tuple) else [value]
        again += [option.opts[0]] if value is True else [word for one in many for word in (option.opts[0], str(one))]
    return again


def address(written: str) -> tuple[str, int]:
    """Host and port. Raises `WrongInput`.

    >>> address("[::1]:9178")
    ('::1', 9178)
    """
    host, _, port = written.rpartition(":")
    if not host or not port.isdecimal() or int(port) > MOST_PORTS:
        raise WrongInput(f"{written!r} is no address to listen on: give HOST:PORT such as 127.0.0.1:9178.")
    return host.strip("[]"), int(port)
