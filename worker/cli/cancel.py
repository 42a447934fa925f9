"""``sms cancel``: stop messages that are not posted yet."""

from worker.cli import named
from worker.cli.named import Keys, Producer, Uids
from worker.cli.person import Who
from worker.order_fields import DEFAULT_PRODUCER
from worker.people import Person


def cancel(uids: Uids = None, *, producer: Producer = DEFAULT_PRODUCER, keys: Keys = None, who: Who = None) -> None:
    """Stop messages that are still queued; their producers are told. What is being posted is not stopped.

    Exit code 0: all of them are cancelled. 1: some were not queued any more, and are left. 2: wrong input or settings,
    a uid or key that nobody has, an unreachable database; nothing was changed.
    """
    named.decide(uids, named.by_key(producer, keys), who, Person.cancel, done="cancelled")
