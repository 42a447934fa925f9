"""Which unconfirmed messages a person means: the filters of ``sms unconfirmed``, and names that lead to none."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import typer
from sqlalchemy.orm import Session

from models import Message
from models.lifecycle import BatchState, Lane, MessageState
from worker.cli.given import WrongInput, span, words
from worker.cli.shown import visible
from worker.store import doubts
from worker.store.unconfirmed import Chosen

MOST_UIDS = 1_000
MOST_NAMED = 10  # in one line
LARGEST_ID = 2**63 - 1

Uids = Annotated[list[str] | None, typer.Option("--uid", help="This message; may be repeated.")]
BatchId = Annotated[int | None, typer.Option("--batch", min=1, max=LARGEST_ID, help="Only the messages of this batch.")]
OfLane = Annotated[Lane | None, typer.Option("--lane", help="Only this lane's.")]
Producer = Annotated[str | None, typer.Option(help="Only this producer's.")]
Reason = Annotated[str | None, typer.Option(help="Only those that broke in this way.")]
Since = Annotated[
    str | None,
    typer.Option(help="Only those posted at this ISO time or later; without an offset, in SMS_GATEWAY_TIMEZONE."),
]
Until = Annotated[str | None, typer.Option(help="Only those posted before this ISO time; see --since.")]


class Filters(NamedTuple):
    """As they were written."""

    batch_id: int | None
    lane: Lane | None
    producer: str | None
    reason: str | None
    since: str | None
    until: str | None


def choose(zone: ZoneInfo, uids: Sequence[str], filters: Filters) -> Chosen:
    """What they mean; a time without an offset is in *zone*. Raises `WrongInput`."""
    first, end = span(filters.since, filters.until, zone)
    chosen = Chosen(
        uids=tuple(dict.fromkeys(uid for uid in uids if words(uid, "--uid"))),
        batch_id=filters.batch_id,
        lane=filters.lane,
        producer=words(filters.producer, "--producer"),
        reason=words(filters.reason, "--reason"),
        posted_since=first,
        posted_until=end,
    )
    if len(chosen.uids) > MOST_UIDS:
        raise WrongInput(f"{len(chosen.uids)} uids are too many: give at most {MOST_UIDS}, or a filter like --batch.")
    return chosen


def settled_of(session: Session, uids: Sequence[str]) -> list[str]:
    """A sentence about each of *uids* that is not unconfirmed. Raises `WrongInput` for those that nobody ever had."""
    if not uids:
        return []
    states = doubts.states_of(session, uids)
    if missing := [uid for uid in uids if uid not in states]:
        raise WrongInput(f"There is no message {_some(missing)}: correct the uid and try again.")
    others = [(uid, states[uid]) for uid in uids if states[uid] != MessageState.UNCONFIRMED]
    return [f"{visible(uid)} is {state}, not unconfirmed." for uid, state in others]


def hints(session: Session, chosen: Chosen) -> list[str]:
    """Where nothing was found: what there is instead. Raises `WrongInput` for a batch that does not exist."""
    named = (("producer", chosen.producer, Message.producer), ("reason", chosen.reason, Message.reason))
    return [
        *_about_batch(session, chosen.batch_id),
        *(
            f"No unconfirmed message has the {name} {visible(given)}. There are: {_some(there)}."
            for name, given, column in named
            if given and (there := doubts.most_frequent(session, column)) and given not in there
        ),
    ]


def _about_batch(session: Session, batch_id: int | None) -> list[str]:
    if batch_id is None:
        return []
    state = doubts.batch_state(session, batch_id)
    if state is None:
        raise WrongInput(f"There is no batch {batch_id}: correct the number and try again.")
    return [] if state == BatchState.UNCONFIRMED else [f"Batch {batch_id} is {state}."]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(map(visible, names[:MOST_NAMED])) + more
