"""Whose turn it is: which producer headed each lane's last batch, so that none waits behind another's thousands."""

from threading import Lock

from models.lifecycle import Lane


class Rota:
    """What this process remembers of its last batches. Safe to use from several threads.

    Nothing depends on it but the order: a process that forgets it begins anew with the first producer.
    """

    def __init__(self) -> None:
        self._heads: dict[Lane, str] = {}
        self._hurries = False
        self._lock = Lock()

    def head(self, lane: Lane) -> str:
        """The producer that headed the lane's last batch; empty before the first one."""
        with self._lock:
            return self._heads.get(lane, "")

    def note_head(self, lane: Lane, producer: str) -> None:
        """This one headed a batch; those behind it come first in the next."""
        with self._lock:
            self._heads[lane] = producer

    @property
    def hurries(self) -> bool:
        """Whether the last batch came too late to begin.

        The next one leaves out what has so little time left that it might come too late again, if there is anything
        else. So what is about to expire cannot hold up the others batch after batch.
        """
        with self._lock:
            return self._hurries

    def note_begin(self, *, in_time: bool) -> None:
        """A batch began, or was too late to."""
        with self._lock:
            self._hurries = not in_time
