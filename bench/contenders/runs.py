"""One run: a contender is started, orders appear on its queue at one stroke, and everything is counted."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.contenders.ground import LOOK_SECONDS, WARM, Ground, Trial, trial
from bench.contenders.lineup import Contender
from bench.stage import Tally
from bench.usage import Used, used

PACED_PHONES = 8_000_000  #: numbers that no queued message has
IDLE_SECONDS = 15  #: without one more message: what has not come by then is lost


class NothingAccepted(Exception):
    """It did not even begin."""


@dataclass(frozen=True, slots=True)
class Run:
    """What was seen. Seconds of latency are from the order to the stored acceptance; of CPU, for 1,000 messages."""

    contender: str
    tls: bool  #: the gateway was reached over https
    latency_seconds: float  #: of the gateway
    round: int
    messages: int
    per_second: float  #: from the moment when all orders appeared to the last stored acceptance
    gateway_per_second: float  #: between the first and the last that the gateway saw
    cpu_seconds: Mapping[str, float]  #: by process
    peak_mib: Mapping[str, float]
    mean_batch: float
    queued_seconds: Mapping[str, float]  #: percentiles of how long the queued ones waited: as long as the queue was
    paced_seconds: Mapping[str, float]  #: the same of messages that came one by one
    bytes: Mapping[str, float]  #: a message's, while it waits on Redis, and what it adds to its AOF, to WAL and disk
    lost: int  #: not seen by the gateway, or not stored as accepted
    doubled: int  #: posts of a message that had been posted before

    @property
    def cpu(self) -> float:
        """All but the gateway's, which none of us would pay."""
        return sum(seconds for name, seconds in self.cpu_seconds.items() if name != "gateway")


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a contender runs: the gateway's latency, the round, how messages come one by one after that, TLS."""

    latency_seconds: float
    round: int
    pace_per_second: float
    pace_seconds: float
    tls: bool = False


def run(ground: Ground, contender: Contender, count: int, under: Conditions) -> Run:
    """One contender once. Raises `NothingAccepted`."""
    with trial(ground, contender, under.latency_seconds, count, tls=under.tls) as it:
        ground.stage.gateway.reset()
        it.settle()
        before = it.sizes() | {"waiting": 0.0}
        waiting = {"waiting": ground.waiting_bytes()}
        with used(it.groups) as usage:
            began_at = time.time()
            ground.let_go(contender)
            tally = _all_seen(it, count)
            it.wait_for(WARM + count, seconds=IDLE_SECONDS)
        after = it.sizes() | waiting
        queued = [at - began_at for at in it.accepted_at().values() if at > began_at]
        if not queued:
            raise NothingAccepted(f"{contender.name} accepted nothing.")
        ordered_at = _paced(it, under)
        accepted_at = it.accepted_at()
    phones = ground.stage.gateway.phones()
    paced = [accepted_at[phone] - at for phone, at in ordered_at.items() if phone in accepted_at]
    return Run(
        contender=contender.name,
        tls=under.tls,
        latency_seconds=under.latency_seconds,
        round=under.round,
        messages=count,
        **_figures(count, queued, paced, tally, usage),
        bytes={name: (after[name] - before[name]) / count for name in after},
        lost=count + len(ordered_at) - len(phones.keys() & accepted_at.keys()),
        doubled=phones.total() - len(phones),
    )


def _figures(
    count: int, queued: Sequence[float], paced: Sequence[float], tally: Tally, usage: Mapping[str, Used]
) -> dict[str, Any]:
    return {
        "per_second": len(queued) / max(queued),
        "gateway_per_second": tally.messages / max(tally.last_at - tally.first_at, 1e-3),
        "cpu_seconds": {name: one.cpu_seconds / count * 1_000 for name, one in usage.items()},
        "peak_mib": {name: one.peak_mib for name, one in usage.items()},
        "mean_batch": tally.messages / tally.requests,
        "queued_seconds": percentiles(queued),
        "paced_seconds": percentiles(paced),
    }


def _all_seen(it: Trial, count: int) -> Tally:
    """Return when the gateway has seen so many, or has seen nothing for long."""
    gateway = it.ground.stage.gateway
    tally, until = gateway.tally(), time.monotonic() + IDLE_SECONDS
    while tally.messages < count and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        before, tally = tally, gateway.tally()
        if tally.messages > before.messages:
            until = time.monotonic() + IDLE_SECONDS
    return tally


def _paced(it: Trial, under: Conditions) -> dict[str, float]:
    """Order one by one, and wait until all are accepted; when each was ordered."""
    if it.contender.order.chunk > 1 or not under.pace_seconds:
        return {}
    before = it.accepted()
    count = int(under.pace_per_second * under.pace_seconds)
    ordered_at = it.send(PACED_PHONES, count, per_second=under.pace_per_second)
    it.wait_for(before + len(ordered_at), seconds=IDLE_SECONDS)
    return ordered_at


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """The usual three; none of nothing."""
    if len(seconds) < 2:  # noqa: PLR2004
        return {}
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {f"p{cut}": cuts[cut - 1] for cut in (50, 95, 99)}
