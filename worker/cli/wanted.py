"""Which messages a person means: the filters of ``sms list`` and ``sms export``."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from models.lifecycle import Lane, MessageState
from worker.cli.given import WrongInput, span, words
from worker.errors import OrderRefused
from worker.phone import normalised
from worker.settings import Settings
from worker.store.listing import Wanted

States = Annotated[list[MessageState] | None, typer.Option("--state", help="Only in this state; may be repeated.")]
Key = Annotated[str | None, typer.Option(help="Only with this key of the producer's, exactly.")]
KeyPrefix = Annotated[str | None, typer.Option(help="Only whose key begins so: a campaign's name and a colon, say.")]
Uid = Annotated[str | None, typer.Option(help="Only this message.")]
Phone = Annotated[str | None, typer.Option(help="Only to this number, as people write it.")]
Nickname = Annotated[str | None, typer.Option(help="Only from this sender name.")]
RequestId = Annotated[str | None, typer.Option(help="Only of this request of the gateway's.")]
Since = Annotated[
    str | None, typer.Option(help="Only ordered at this ISO time or later; without an offset, in SMS_GATEWAY_TIMEZONE.")
]
Until = Annotated[str | None, typer.Option(help="Only ordered before this ISO time; see --since.")]


def wanted_of(
    settings: Settings,
    *,
    states: Sequence[MessageState] | None,
    lane: Lane | None,
    batch: int | None,
    phone: str | None,
    since: str | None,
    until: str | None,
    **named: str | None,
) -> Wanted:
    """What these options mean; *named* are those that stand in `Wanted` as they were written. Raises `WrongInput`."""
    first, end = span(since, until, settings.zone)
    as_written: dict[str, Any] = {
        name: words(written, f"--{name.replace('_', '-')}") for name, written in named.items()
    }
    digits = number(phone, settings.countries)
    return Wanted(
        states=tuple(states or ()), lane=lane, batch_id=batch, phone=digits, since=first, until=end, **as_written
    )


def number(written: str | None, countries: Iterable[str]) -> str | None:
    """The digits of ``--phone``. Raises `WrongInput`."""
    try:
        return normalised(written, tuple(countries)) if words(written, "--phone") else None
    except OrderRefused as refused:
        raise WrongInput(f"--{refused.explanation}") from None
