"""What ``sms import`` says about a file, to people."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from models.lifecycle import Lane
from worker.campaigns.findings import Findings, Price
from worker.campaigns.outcome import Became, Outcome
from worker.campaigns.written import explained
from worker.cli.shown import masked_as_written, visible
from worker.settings import Settings
from worker.wiring import quiet_lanes


def what_holds_up(settings: Settings, lane: Lane, now: datetime) -> list[str]:
    """Sentences on why what is ordered *now* may not reach those it is ordered for, or not at once."""
    found = []
    if numbers := len(settings.staging_recipients):
        to = "the staging recipient" if numbers == 1 else f"the {numbers} staging recipients"
        found.append(f"All go to {to} instead (SMS_STAGING_RECIPIENTS), none to the phones of the file.")
    quiet = quiet_lanes(settings)
    if quiet.cover(lane, now):
        until = f"{quiet.hours[lane].ends:%H:%M} ({quiet.zone.key})"
        found.append(f"Quiet hours: nothing of the lane {lane} is posted before {until}.")
    return found


def looked_at(
    found: Findings, price: Price, *, lane: Lane, campaign: str, notes: Sequence[str], countries: Sequence[str]
) -> Iterator[str]:
    """What ordering the file would come to; *notes* are of `what_holds_up`."""
    yield f"{_many(found.rows, 'row')}, campaign {visible(campaign)}"
    if not found.rows:
        yield "There is nothing behind the header: nobody would get an SMS."
    yield f"To order: {_many(found.became[Became.NEW], 'message')} on the lane {lane}."
    yield from notes
    if there := found.became[Became.THERE]:
        yield f"Ordered already, and left as they are: {there:,}."
    yield from _cost(found, price)
    if found.example:
        one = found.example
        phone = masked_as_written(one.line.phone, countries)
        yield f"Example, line {one.line.line}, to {phone}: {visible(one.text or '')}"
    yield from _wrong(found, countries)
    yield from _repeats(found, countries)


def ordered(found: Findings, price: Price, *, report: Path, notes: Sequence[str]) -> Iterator[str]:
    """What it came to."""
    queued, parts = found.became[Became.QUEUED], found.total_parts
    yield f"Queued: {_many(queued, 'message')} ({_many(parts, 'part')}{_money(price, parts)})."
    yield from notes if queued else ()
    if there := found.became[Became.THERE]:
        yield f"There already, and left as they are: {there:,}."
    if refused := found.became[Became.REFUSED]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in found.reasons.most_common())
        yield f"Refused: {refused:,} ({reasons})."
    yield f"What became of each row: {report}"


def _cost(found: Findings, price: Price) -> Iterator[str]:
    if not found.parts:
        return
    sizes = ", ".join(f"{found.parts[parts]:,} of {parts}" for parts in sorted(found.parts))
    yield f"Parts: {found.total_parts:,} in all; messages by parts: {sizes}."
    encodings = ", ".join(f"{name} {count:,}" for name, count in found.encodings.most_common())
    yield f"Encoding: {encodings}."
    if price.per_part:
        yield f"Price: {_sum(price, found.total_parts)} at {_sum(price, 1)} a part."
    if saved := found.saved_by_folding:
        yield f"SMS_FOLD_TEXT=true would save {_many(saved, 'part')}{_money(price, saved)}."


def _wrong(found: Findings, countries: Sequence[str]) -> Iterator[str]:
    total = found.became[Became.REFUSED]
    if total:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in found.reasons.most_common())
        yield f"Not to be ordered: {_many(total, 'row')} ({reasons})."
        yield from (_wrong_row(one, countries) for one in found.wrong)
        yield from _more(total - len(found.wrong))


def _wrong_row(one: Outcome, countries: Sequence[str]) -> str:
    phone = masked_as_written(one.line.phone, countries)
    return f"  line {one.line.line}{phone and ' '}{phone}: {one.reason}. {visible(explained(one) or '')}"


def _repeats(found: Findings, countries: Sequence[str]) -> Iterator[str]:
    if found.repeated:
        yield f"The same phone again: {_many(found.repeated, 'row')}; --once orders only the first of a phone's rows."
        for one in found.repeats:
            phone = masked_as_written(one.line.phone, countries)
            yield f"  line {one.line.line} {phone}: as in line {one.line.first_line}"
        yield from _more(found.repeated - len(found.repeats))


def _more(left: int) -> Iterator[str]:
    if left:
        yield f"  and {left:,} more; --report FILE has all of them."


def _money(price: Price, parts: int) -> str:
    return f", {_sum(price, parts)}" if price.per_part else ""


def _sum(price: Price, parts: int) -> str:
    """The money.

    >>> _sum(Price(95, "UZS"), 1000), _sum(Price(120.5, "UZS"), 1)
    ('95,000 UZS', '120.50 UZS')
    """
    return f"{price.of(parts) or 0:,.2f}".removesuffix(".00") + f" {price.currency}"


def _many(count: int, of_what: str) -> str:
    """How many that is.

    >>> _many(1, "row"), _many(12000, "row")
    ('1 row', '12,000 rows')
    """
    return f"{count:,} {of_what}{'s' * (count != 1)}"
