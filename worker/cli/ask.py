"""``sms ask``: ask the gateway once more."""

from worker.cli import named
from worker.cli.named import Uids
from worker.cli.person import Who
from worker.people import Person


def ask(uids: Uids, who: Who = None) -> None:
    """Ask the gateway once more about messages that were given up as unknown; a worker does it within some seconds.

    They are submitted until the answer comes, and unknown again if it is not final.

    Exit code 0: all of them are asked about. 1: some were not unknown, and are left. 2: wrong input or settings, a uid
    that nobody has, an unreachable database; nothing was changed.
    """
    named.decide(uids, who, Person.ask_again, done="to be asked about")
