"""``sms ask``: ask the gateway once more."""

from worker.cli import named
from worker.cli.named import Keys, Producer, Uids
from worker.cli.person import Who
from worker.order_fields import DEFAULT_PRODUCER
from worker.people import Person


def ask(uids: Uids = None, *, producer: Producer = DEFAULT_PRODUCER, keys: Keys = None, who: Who = None) -> None:
    """Ask the gateway once more about messages that were given up as unknown; a worker does it within some seconds.

    They are submitted until the answer comes, and unknown again if it is not final.

    Exit code 0: all of them are asked about. 1: some were not unknown, and are left. 2: wrong input or settings, a uid
    or key that nobody has, an unreachable database; nothing was changed.
    """
    named.decide(uids, named.by_key(producer, keys), who, Person.ask_again, done="to be asked about")
