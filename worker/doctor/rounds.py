"""Goes through the checks: each within a time limit, and none stops the others."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Thread

from worker.clock import utc_now
from worker.doctor import database, gateway, house, queues, redis, settings
from worker.doctor.check import Check, Finding, Found, Ground, Outcome, fault, skipped, warning
from worker.errors import SettingsError
from worker.settings import load_settings

LIMIT_SECONDS = 15.0
CHECKS: Sequence[Check] = (
    *settings.CHECKS,
    *gateway.CHECKS,
    *redis.CHECKS,
    *database.CHECKS,
    *queues.CHECKS,
    *house.CHECKS,
)


def the_ground(now: Callable[[], datetime] = utc_now) -> Ground:
    """Of the settings as they are; also without them."""
    try:
        return Ground(load_settings(), "", now)
    except SettingsError as error:
        return Ground(None, str(error), now)


def chosen(names: Sequence[str]) -> list[Check]:
    """The checks of these names or neighbourhoods; all without any. Raises `LookupError` with one that is neither."""
    for name in names:
        if not any(_is_of(check, name) for check in CHECKS):
            raise LookupError(name)
    return [check for check in CHECKS if not names or any(_is_of(check, name) for name in names)]


def findings(
    ground: Ground, checks: Sequence[Check] = CHECKS, *, limit_seconds: float = LIMIT_SECONDS
) -> Iterator[Finding]:
    """What comes of *checks*, in their order; those that stand before them are made as well, and not told."""
    needed, told = _with_those_before(checks), {check.name for check in checks}
    in_the_way = set[str]()  # with a fault, or behind one
    for check in (one for one in _all(checks) if one.name in needed):
        first = next((name for name in check.after if name in in_the_way), None)
        found = skipped(f"see {first}") if first else _seen(check, ground, limit_seconds)
        if first or found.outcome == Outcome.FAULT:
            in_the_way.add(check.name)
        if check.name in told:
            yield _finding(check, found)


def _all(checks: Sequence[Check]) -> list[Check]:
    strangers = [check for check in checks if check not in CHECKS]
    return [*CHECKS, *strangers]


def _is_of(check: Check, name: str) -> bool:
    return name in {check.name, check.name.partition(".")[0]}


def _with_those_before(checks: Sequence[Check]) -> set[str]:
    by_name = {check.name: check for check in CHECKS}
    needed, to_see = set[str](), [check.name for check in checks]
    by_name |= {check.name: check for check in checks}
    while to_see:
        name = to_see.pop()
        needed.add(name)
        to_see += [before for before in by_name[name].after if before not in needed]
    return needed


def _seen(check: Check, ground: Ground, limit_seconds: float) -> Found:
    if check.needs_settings and ground.read is None:
        return skipped("without settings there is nothing to look at; see settings.complete")
    answer: SimpleQueue[Found] = SimpleQueue()
    Thread(target=lambda: answer.put(_looked(check, ground)), name=check.name, daemon=True).start()
    try:
        return answer.get(timeout=limit_seconds)
    except Empty:
        return fault(f"no answer within {limit_seconds:g} s", check.late)


def _looked(check: Check, ground: Ground) -> Found:
    try:
        return check.look(ground)
    except Exception as error:  # noqa: BLE001 - whatever it is, the others go on; its words may hold a secret
        return warning(f"this check itself broke ({type(error).__name__})", "report it; the others stand all the same")


def _finding(check: Check, found: Found) -> Finding:
    needs_one = found.outcome in {Outcome.WARNING, Outcome.FAULT}
    remedy = found.remedy or (check.remedy if needs_one else None)
    return Finding(check.name, found.outcome, found.words, check.why, remedy)
