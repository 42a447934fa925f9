"""How often somebody may try passwords."""

import math
from collections import OrderedDict
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from threading import Lock
from typing import NamedTuple

FREE = 5  # wrong tries that cost nothing
FREE_OVER_ALL = 20
FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(minutes=15)
LONGEST_WAIT_OVER_ALL = timedelta(seconds=10)  # whoever guesses from many places must not lock people out
ONE_FORGOTTEN_AFTER = (
    LONGEST_WAIT  # the eldest of an address; so it is no more than one in so long that goes on guessing
)
ONE_FORGOTTEN_AFTER_OVER_ALL = timedelta(minutes=1)
MOST_ADDRESSES = 10_000


class _Tries(NamedTuple):
    wrong: float  #: less and less with time
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
            mine, every = self._of.get(name), self._all
            nexts = [tries.next_at for tries in (mine, every) if tries]
            if nexts and max(nexts) > now:
                return max(nexts) - now
            self._of[name] = _one_more(mine, now, FREE, LONGEST_WAIT, ONE_FORGOTTEN_AFTER)
            self._of.move_to_end(name)
            forgotten_after = ONE_FORGOTTEN_AFTER_OVER_ALL
            self._all = _one_more(every, now, FREE_OVER_ALL, LONGEST_WAIT_OVER_ALL, forgotten_after)
            if len(self._of) > MOST_ADDRESSES:
                self._of.popitem(last=False)
        return timedelta(0)

    def right(self, address: str, *, forgives: bool) -> None:
        """The last try of *address* was right, and is no wrong one; if it *forgives*, none of the address is.

        Who knows one password may guess at the other: the lesser one forgives nothing.
        """
        name = _network(address)
        with self._lock:
            mine = self._of.pop(name, None)
            if mine and not forgives:
                self._of[name] = _one_less(mine)
            if self._all:
                self._all = _one_less(self._all)


def _one_more(tries: _Tries | None, now: datetime, free: int, longest: timedelta, forgotten_after: timedelta) -> _Tries:
    left = max(0.0, tries.wrong - (now - tries.last_at) / forgotten_after) if tries else 0.0
    count = math.ceil(left + 1)
    wait = min(longest, FIRST_WAIT * 2 ** min(count - free, 30)) if count >= free else timedelta(0)
    return _Tries(left + 1, now, now + wait)


def _one_less(tries: _Tries) -> _Tries:
    return tries._replace(wrong=max(0.0, tries.wrong - 1), next_at=tries.last_at)


def _network(address: str) -> str:
    """Whose tries count together.

    >>> _network("192.0.2.7"), _network("::ffff:192.0.2.7"), _network("2001:db8::1:2"), _network("unknown")
    ('192.0.2.7', '192.0.2.7', '2001:db8::', '')
    """
    try:
        one = ip_address(address)
    except ValueError:  # whatever a proxy wrote there; it may be long
        return ""
    if isinstance(one, IPv6Address):
        return str(one.ipv4_mapped or IPv6Address(int(one) >> 64 << 64))
    return str(one)
