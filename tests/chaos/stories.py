"""The whole story of a message whose account does not add up, from every side that knows of it."""

from collections.abc import Iterator, Sequence

from tests.chaos.crew import Death
from tests.chaos.database import rows
from tests.chaos.ledger import lines_of
from tests.chaos.numbered import phone_of
from tests.chaos.world import World

#: Each with what it knows of one message; a batch is known as long as it was the message's last.
QUERIES = {
    "message": "SELECT * FROM messages WHERE phone = :phone",
    "batch": "SELECT b.* FROM batches b JOIN messages m ON m.batch_id = b.id WHERE m.phone = :phone",
    "report": "SELECT r.* FROM reports r JOIN messages m ON m.id = r.sms_id WHERE m.phone = :phone ORDER BY r.id",
    "decision": "SELECT d.* FROM decisions d JOIN messages m ON m.uid = d.uid WHERE m.phone = :phone ORDER BY d.id",
    "callback": "SELECT c.* FROM callbacks c JOIN messages m ON m.id = c.sms_id WHERE m.phone = :phone ORDER BY c.id",
}


def story_of(world: World, number: int) -> str:
    """All that is known of message *number*, line by line."""
    told = [f"message {number}: {'published' if number in world.published() else 'never published'}"]
    told += [
        f"  {what}: {row._asdict()}"
        for what, query in QUERIES.items()
        for row in rows(world.engine, query, phone=phone_of(number))
    ]
    told += [f"  journal: {line}" for line in lines_of(world.gateway.journal) if line["phone"] == phone_of(number)]
    return "\n".join([*told, *_kills(world, number)])


def _kills(world: World, number: int) -> Iterator[str]:
    batches = rows(world.engine, "SELECT batch_id FROM messages WHERE phone = :phone", phone=phone_of(number))
    ours = {batch_id for (batch_id,) in batches}
    for death in world.crew.deaths:
        if any(hand.batch_id in ours for hand in death.hands):
            yield f"  killed: {_said(death, ours)}"


def _said(death: Death, batches: set[int]) -> str:
    hands: Sequence[str] = [f"{hand.step.name.lower()}" for hand in death.hands if hand.batch_id in batches]
    return f"{death.worker} at {death.at.name.lower()}, with the batch at {', '.join(hands)}"
