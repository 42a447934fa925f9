"""What a transaction noted to be counted once it is committed."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

NOTED = "noted"  #: in a session's info, a list of: a counter's name, its labels, how many

Noted = list[tuple[str, Sequence[str], float]]


def note(session: Session, counter: str, *labels: str, amount: float = 1) -> None:
    """Let *counter* rise if this transaction is committed."""
    if amount:
        noted: Noted = session.info.setdefault(NOTED, [])
        noted.append((counter, labels, amount))
