"""What this process counts and times for Prometheus. A publisher writes it into its row of ``workers``."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram

from models.lifecycle import Lane, MessageState, Room

OTHER = "other"  #: the label of what is one kind too many
MOST_WORDS = 40  # kinds of one label that somebody else chooses: each is a series for ever
LONGEST_WORD = 60

# From a gateway in the same rack to a message that was ordered a day before its phone is switched on.
WAITS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 10800, 43200, 86400)
ANSWERS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 15, 20, 30, 45, 60)
SIZES = (1, 2, 5, 10, 20, 30, 40, 50, 75, 100)


class Kind(NamedTuple):
    """One metric: a histogram if it has *buckets*, else a counter, whose samples end in ``_total``."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()  #: labels that are there before anything was counted: a first rise is seen


LANES = tuple((str(lane),) for lane in Lane)
ROOMS = tuple((str(room),) for room in Room)
POSTED = tuple((word,) for word in ("accepted", "refused", "account_refused", "unavailable", "unconfirmed"))
STATES = tuple((str(lane), str(state)) for lane in Lane for state in MessageState)
ORDERED = tuple((str(lane), word) for lane in Lane for word in ("stored", "repeated", "refused", "carried_out"))

KINDS = (
    Kind("sms_orders", "Orders taken in, by what became of them.", ("lane", "outcome"), known=ORDERED),
    Kind("sms_refusals", "Orders that could not be accepted, by reason.", ("reason",)),
    Kind("sms_moves", "Messages that reached a state, each time they do.", ("lane", "state"), known=STATES),
    Kind("sms_failures", "Messages that failed, by the gateway's error number, where it gave one.", ("error",)),
    Kind(
        "sms_batches",
        "Posts, by what came of each.",
        ("lane", "outcome"),
        known=tuple((*lane, *word) for lane in LANES for word in POSTED),
    ),
    Kind("sms_batch_messages", "Messages in a post.", ("lane",), SIZES, known=LANES),
    Kind("sms_post_seconds", "How long the gateway took for a post.", ("outcome",), ANSWERS, known=POSTED),
    Kind("sms_gateway_errors", "Requests that the gateway refused or did not answer, by error.", ("room", "error")),
    Kind(
        "sms_polls",
        "Questions to the gateway, by what came of each.",
        ("outcome",),
        known=(("answered",), ("not_known_yet",), ("no_answer",), ("broke",)),
    ),
    Kind(
        "sms_poll_seconds", "How long the gateway took for a question.", ("outcome",), ANSWERS, known=(("answered",),)
    ),
    Kind("sms_gateway_status_unknown", "Status words of the gateway that we never met.", ("word",)),
    Kind(
        "sms_accepted_seconds",
        "From when a message might first be posted to its acceptance.",
        ("lane",),
        WAITS,
        known=LANES,
    ),
    Kind(
        "sms_delivered_seconds",
        "From when a message might first be posted to its delivery.",
        ("lane",),
        WAITS,
        known=LANES,
    ),
    Kind(
        "sms_callbacks",
        "Attempts to tell a producer, by what came of each: told, again or failed.",
        ("outcome",),
        known=(("told",), ("again",), ("failed",)),
    ),
    Kind("sms_circuit_openings", "How often the gateway was called no more but by a probe.", ("room",), known=ROOMS),
    Kind("sms_account_pauses", "How often trouble with the account paused posting.", known=((),)),
    Kind(
        "sms_sweep_found",
        "Rows that a sweep put right.",
        ("sweep",),
        known=tuple(
            (word,) for word in ("worker_died", "never_begun", "expired", "clock_set_back", "database_restored")
        ),
    ),
    Kind(
        "sms_trouble",
        "Work that was put off, by what was away: database, broker, or a mistake of ours.",
        ("what",),
        known=(("database",), ("broker",), ("mistake",)),
    ),
    Kind("sms_orders_put_back", "Orders put back on their queue, whose taker had died.", known=((),)),
)


class Instruments:
    """All of them, at zero."""

    def __init__(self) -> None:
        """Make them in a registry of their own."""
        self.registry = CollectorRegistry(auto_describe=False)
        self._counters = {kind.name: self._counter(kind) for kind in KINDS if not kind.buckets}
        self._histograms = {kind.name: self._histogram(kind) for kind in KINDS if kind.buckets}
        self._met: dict[str, set[str]] = {}
        self._meeting = Lock()

    def count(self, name: str, *labels: str, amount: float = 1) -> None:
        """Add *amount* to a counter."""
        counter = self._counters[name]
        (counter.labels(*labels) if labels else counter).inc(amount)

    def observe(self, name: str, *labels: str, values: Sequence[float]) -> None:
        """Add *values* to a histogram."""
        histogram = self._histograms[name].labels(*labels)
        for value in values:
            # A clock that was set back makes no time negative, or the sum of all would fall.
            histogram.observe(max(0.0, value))

    def bounded(self, label: str, word: str) -> str:
        """The same word, or `OTHER` once `MOST_WORDS` others were met before it."""
        word = re.sub(r"[^\w.-]", "_", word.lower())[:LONGEST_WORD] or OTHER
        with self._meeting:
            met = self._met.setdefault(label, set())
            if word not in met and len(met) >= MOST_WORDS:
                return OTHER
            met.add(word)
        return word

    def figures(self) -> dict[str, float]:
        """What is not zero: ``name|label|…``, and of a histogram ``name|label|…|le`` (each bucket alone) and ``|sum``.

        Such figures of many processes are just added up, whatever buckets their releases had.
        """
        found: dict[str, float] = {}
        for kind in KINDS:
            metric = self._histograms[kind.name] if kind.buckets else self._counters[kind.name]
            for family in metric.collect():
                _collect(kind, family.samples, found)
        return {name: value for name, value in found.items() if value}

    def _counter(self, kind: Kind) -> Counter:
        return Counter(kind.name, kind.meaning, kind.labels, registry=self.registry)

    def _histogram(self, kind: Kind) -> Histogram:
        return Histogram(kind.name, kind.meaning, kind.labels, registry=self.registry, buckets=kind.buckets)


def _collect(kind: Kind, samples: Iterable[tuple[object, ...]], found: dict[str, float]) -> None:
    below: dict[str, float] = {}
    for sample in samples:
        name, labels, value = str(sample[0]), sample[1], float(sample[2])  # type: ignore[arg-type]
        words = [kind.name, *(labels[label] for label in kind.labels)]  # type: ignore[index]
        key = "|".join(words)
        if name.endswith("_total"):
            found[key] = value
        elif name.endswith("_sum"):
            found[f"{key}|sum"] = value
        elif name.endswith("_bucket"):
            found[f"{key}|{labels['le']}"] = value - below.get(key, 0)  # type: ignore[index]
            below[key] = value


class _Process:
    """Those of this process: a child that is forked begins at zero, and with no lock that a parent's thread held."""

    def __init__(self) -> None:
        self.instruments = Instruments()

    def begin_anew(self) -> None:
        self.instruments = Instruments()


_ours = _Process()
os.register_at_fork(after_in_child=_ours.begin_anew)


def ours() -> Instruments:
    """The instruments of this process."""
    return _ours.instruments


def figures() -> dict[str, float]:
    """What this process has counted since it began, as `Instruments.figures` says."""
    return ours().figures()


def count_noted(noted: Iterable[tuple[str, Sequence[str], float]]) -> None:
    """Count what a transaction noted: a counter's name, its labels, and how many."""
    for name, labels, amount in noted:
        ours().count(name, *labels, amount=amount)


def count_moved(lane: str, state: str, moved: int) -> None:
    """So many messages of *lane* reached *state*."""
    ours().count("sms_moves", lane, state, amount=moved)


def count_failed(error_no: int | None) -> None:
    """A message failed."""
    ours().count("sms_failures", error_word(error_no))


def time_accepted(seconds: Mapping[str, Sequence[float]]) -> None:
    """The gateway took messages of these lanes, each so long after it might first be posted."""
    _time("sms_accepted_seconds", seconds)


def time_delivered(seconds: Mapping[str, Sequence[float]]) -> None:
    """Phones got messages of these lanes, each so long after it might first be posted."""
    _time("sms_delivered_seconds", seconds)


def _time(name: str, seconds: Mapping[str, Sequence[float]]) -> None:
    for lane, values in seconds.items():
        ours().observe(name, lane, values=values)


def count_post(lane: Lane, outcome: str, *, messages: int, took: timedelta | None, error: str | None) -> None:
    """A post of so many messages ended in *outcome*, for which the gateway took so long; None if nothing ever left."""
    ours().count("sms_batches", lane, outcome)
    ours().observe("sms_batch_messages", lane, values=[messages])
    if took is not None:
        ours().observe("sms_post_seconds", outcome, values=[took.total_seconds()])
    if error:
        ours().count("sms_gateway_errors", Room.POSTING, error)


def count_polls(outcome: str, *, took: Sequence[timedelta], error: str | None = None) -> None:
    """Questions ended in *outcome*, for each of which the gateway took so long."""
    ours().count("sms_polls", outcome, amount=len(took))
    ours().observe("sms_poll_seconds", outcome, values=[each.total_seconds() for each in took])
    if error:
        ours().count("sms_gateway_errors", Room.POLLING, error)


def count_unknown_status(word: str) -> None:
    """The gateway said a status word that we never met."""
    ours().count("sms_gateway_status_unknown", ours().bounded("word", word))


def count_callback(outcome: str) -> None:
    """A producer was told, or not."""
    ours().count("sms_callbacks", outcome)


def count_sweep(sweep: str, rows: int) -> None:
    """A sweep put so many rows right."""
    if rows:
        ours().count("sms_sweep_found", sweep, amount=rows)


def count_trouble(what: str) -> None:
    """Work was put off, because *what* is away."""
    ours().count("sms_trouble", what)


def count_put_back(orders: int) -> None:
    """So many orders of a dead taker were put back."""
    ours().count("sms_orders_put_back", amount=orders)


def word(label: str, said: str) -> str:
    """A label for what is *said*, one of `MOST_WORDS` at most."""
    return ours().bounded(label, said)


def error_word(error_no: int | None, http_status: int | None = None) -> str:
    """A label for an error: the vendor's number, the status of an answer that had none, or ``none``."""
    if error_no is not None:
        return ours().bounded("error", str(error_no))
    return f"http_{http_status}" if http_status and http_status != 200 else "none"  # noqa: PLR2004
