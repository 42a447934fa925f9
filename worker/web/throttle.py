"""How often somebody may try passwords."""

from collections import OrderedDict
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from threading import Lock
from typing import NamedTuple

FREE = 5  # wrong tries that cost nothing
FREE_OVER_ALL = 50
FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(minutes=15)
LONGEST_WAIT_OVER_ALL = timedelta(seconds=10)  # whoever guesses from many places must not lock people out
FORGOTTEN_AFTER = timedelta(hours=1)
MOST_ADDRESSES = 10_000


class _Tries(NamedTuple):
    wrong: int
    last_at: datetime
    next_at: datetime


class Throttle:
    """Growing waits after wrong passwords, for each address (of IPv6: for each /64) and over all."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, _Tries] = OrderedDict()
        self._all: _Tries | None = None
        self._lock = Lock()

    def wait(self, address: str, *, now: datetime) -> timedelta:
        """How long *address* has to wait. If not at all, this is a try, and a wrong one until `right` says no."""
        name = _network(address)
        with self._lock:
            mine, every = _recent(self._of.get(name), now), _recent(self._all, now)
            nexts = [tries.next_at for tries in (mine, every) if tries]
            if nexts and max(nexts) > now:
                return max(nexts) - now
            self._of[name] = _one_more(mine, now, FREE, LONGEST_WAIT)
            self._of.move_to_end(name)
            self._all = _one_more(every, now, FREE_OVER_ALL, LONGEST_WAIT_OVER_ALL)
            if len(self._of) > MOST_ADDRESSES:
                self._of.popitem(last=False)
        return timedelta(0)

    def right(self, address: str) -> None:
        """The last try of *address* was right."""
        with self._lock:
            self._of.pop(_network(address), None)
            if self._all:
                self._all = self._all._replace(wrong=max(0, self._all.wrong - 1), next_at=self._all.last_at)


def _recent(tries: _Tries | None, now: datetime) -> _Tries | None:
    return tries if tries and now - tries.last_at < FORGOTTEN_AFTER else None


def _one_more(tries: _Tries | None, now: datetime, free: int, longest: timedelta) -> _Tries:
    wrong = 1 + (tries.wrong if tries else 0)
    wait = min(longest, FIRST_WAIT * 2 ** min(wrong - free, 30)) if wrong >= free else timedelta(0)
    return _Tries(wrong, now, now + wait)


def _network(address: str) -> str:
    """Whose tries count together.

    >>> _network("192.0.2.7"), _network("2001:db8::1:2"), _network("unknown")
    ('192.0.2.7', '2001:db8::', 'unknown')
    """
    try:
        one = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Address(int(one) >> 64 << 64)) if isinstance(one, IPv6Address) else str(one)
