"""What became of the demo's messages: by our own table, and by what the sandbox gateway says that it took."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from models import Batch, Message, RefusedIntake
from models.lifecycle import FINAL, Lane, MessageState

States = dict[tuple[Lane, MessageState], int]


@dataclass(frozen=True)
class Tally:
    """How far the messages are."""

    ordered: int  #: rows that the producer sends
    refused: int  #: orders that could not be accepted
    states: States  #: accepted messages by lane and state

    @property
    def accepted(self) -> int:
        """Messages in the table."""
        return sum(self.states.values())

    @property
    def posted(self) -> int:
        """Messages that are past the gateway."""
        return self.accepted - self.in_states(MessageState.QUEUED, MessageState.POSTING)

    @property
    def final(self) -> int:
        """Messages that will not change any more."""
        return self.in_states(*FINAL)

    @property
    def is_complete(self) -> bool:
        """Whether every order is stored, and every accepted message final."""
        return self.accepted + self.refused == self.ordered and self.final == self.accepted

    def in_states(self, *states: MessageState) -> int:
        """Messages in any of *states*."""
        return sum(count for (_, state), count in self.states.items() if state in states)


@dataclass(frozen=True)
class Cost:
    """What the gateway would bill."""

    messages: int
    parts: int


def keys_of(recipients: Path) -> list[str]:
    """The keys of all rows that the producer sends."""
    with recipients.open(encoding="utf-8", newline="") as file:
        return [row["key"] for row in csv.DictReader(file)]


def tally_of(engine: Engine, *, ordered: int) -> Tally:
    """Count what is in the tables now."""
    by_state = select(Message.lane, Message.state, func.count()).group_by(Message.lane, Message.state)
    with Session(engine) as session:
        refused = session.scalars(select(func.count()).select_from(RefusedIntake)).one()
        states = {(Lane(lane), MessageState(state)): count for lane, state, count in session.execute(by_state)}
    return Tally(ordered, refused, states)


def complaints_about(engine: Engine, *, keys: Sequence[str], journal: Path) -> list[str]:
    """A sentence for each promise that was broken: an order lost, a message not final, lost or posted twice."""
    with Session(engine) as session:
        messages = session.scalars(select(Message)).all()
        refused = session.scalars(select(RefusedIntake.key)).all()
    found = Counter([*(message.key or "" for message in messages), *(key or "" for key in refused)])
    posted = Counter((message.phone, message.text) for message in messages if message.message_id)
    taken = Counter((line["phone"], line["text"]) for line in _lines(journal))
    numbers = {
        "orders are neither stored nor refused": (Counter(keys) - found).total(),
        "orders are stored twice": (found - Counter(keys)).total(),
        "messages are not final": sum(message.state not in FINAL for message in messages),
        "messages were posted more often than once, or by nobody": (taken - posted).total(),
        "messages are marked as posted and never reached the gateway": (posted - taken).total(),
    }
    return [f"{number} {words}" for words, number in numbers.items() if number]


def refusals_of(engine: Engine) -> Sequence[tuple[str, str, int]]:
    """Reason, explanation and number of the orders that were refused."""
    by_reason = (
        select(RefusedIntake.reason, func.min(RefusedIntake.explanation), func.count())
        .group_by(RefusedIntake.reason)
        .order_by(func.count().desc(), RefusedIntake.reason)
    )
    with Session(engine) as session:
        return [(reason, explanation, count) for reason, explanation, count in session.execute(by_reason)]


def batch_sizes_of(engine: Engine) -> list[int]:
    """How many messages were in each batch."""
    with Session(engine) as session:
        return list(session.scalars(select(Batch.size)))


def cost_of(engine: Engine) -> Cost:
    """Of what the gateway took, by its own count of parts where it gave one."""
    parts = func.sum(func.coalesce(Message.billed_parts, Message.parts))
    with Session(engine) as session:
        messages, total = session.execute(select(func.count(), parts).where(Message.submitted_at.is_not(None))).one()
    return Cost(messages, total or 0)


def a_failed_message(engine: Engine) -> Message | None:
    """The first that failed, if any did."""
    failed = select(Message).where(Message.state == MessageState.FAILED).order_by(Message.id).limit(1)
    with Session(engine) as session:
        return session.scalars(failed).first()


def _lines(journal: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
