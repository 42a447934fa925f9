"""``sms import``: an SMS for each row of a CSV or Excel file."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from json import dumps
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

import typer

from models.lifecycle import Lane
from worker.campaigns import template as templates
from worker.campaigns.campaign import Campaign
from worker.campaigns.csv_file import DELIMITERS
from worker.campaigns.earlier import warning
from worker.campaigns.findings import Findings, Price
from worker.campaigns.look import look
from worker.campaigns.ordering import order
from worker.campaigns.outcome import Became, Outcome
from worker.campaigns.rows import UnreadableFile, column
from worker.campaigns.source import Source, open_source
from worker.campaigns.template import Fill
from worker.campaigns.written import REPORT_COLUMNS, refuse_to_replace, reported, whole
from worker.cli.campaign_shown import looked_at, ordered, what_holds_up
from worker.cli.given import WrongInput, moment, words
from worker.cli.person import Who, a_person
from worker.cli.progress import watched
from worker.cli.shown import visible
from worker.clock import utc_now
from worker.order_fields import LONGEST_SPREAD, WORD_CHARACTERS, Terms
from worker.people import Person
from worker.settings import Settings, load_settings
from worker.wiring import terms

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_NAME = 200  # characters of a campaign's; a key has some more
PRODUCER = "import"

File = Annotated[Path, typer.Argument(help="CSV with a header, or a workbook of Excel's.")]
Phones = Annotated[str, typer.Option("--column", help="The column of the phones.")]
Template = Annotated[str | None, typer.Option(help="The SMS, with {name} where the column 'name' belongs.")]
TextColumn = Annotated[
    str | None, typer.Option("--text-column", help="Instead of --template: the column that holds the whole SMS.")
]
Name = Annotated[str | None, typer.Option("--campaign", help="Its name; made from the file's content if not given.")]
OnLane = Annotated[Lane, typer.Option(help="otp, normal or bulk.")]
Producer = Annotated[str, typer.Option(help="Which application orders, for limits and costs.")]
Nickname = Annotated[str | None, typer.Option(help="The sender name.")]
SendAt = Annotated[
    str | None, typer.Option(help="Not before this ISO time; without an offset, SMS_GATEWAY_TIMEZONE's.")
]
ExpiresAt = Annotated[str | None, typer.Option(help="Not from this ISO time on; see --send-at.")]
Spread = Annotated[str | None, typer.Option(help="Spread evenly over so long: 7200, 90m, 2h.")]
Once = Annotated[bool, typer.Option("--once", help="Leave out rows whose phone an earlier row has.")]
AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="Let columns of the template be empty.")]
Encoding = Annotated[str | None, typer.Option(help="Of CSV that is neither UTF-8 nor begins with a BOM: cp1251.")]
Delimiter = Annotated[str | None, typer.Option(help="Of CSV, if it is not found by itself: one character, or tab.")]
Sheet = Annotated[str | None, typer.Option(help="Of a workbook; the first if not given.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would do and cost, and change nothing.")]
Report = Annotated[Path | None, typer.Option(help="What became of each row, as CSV; FILE.report.csv if not given.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
ForPrograms = Annotated[bool, typer.Option("--json", help="The summary as one JSON object.")]


class Planned(NamedTuple):
    """A campaign, and with what it is to be carried out."""

    campaign: Campaign
    source: Source
    settings: Settings
    person: Person
    report: Path | None  #: as it was given
    json: bool

    @property
    def report_file(self) -> Path:
        """Where to say what became of each row."""
        return self.report or _beside(self.source.file)

    @property
    def price(self) -> Price:
        """What a part costs."""
        nickname = self.campaign.defaults["nickname"] or self.settings.gateway_nickname
        per_part = self.settings.price_per_part_of_nickname.get(nickname or "", self.settings.price_per_part)
        return Price(per_part, self.settings.price_currency)

    def notes(self) -> list[str]:
        """Why what is ordered now may not reach those it is ordered for, or not at once."""
        return what_holds_up(self.settings, self.campaign.lane, self.person.now())

    def look(self) -> Iterator[Outcome]:
        """Read the file, and change nothing."""
        outcomes = look(self.campaign, sessions=self.person.sessions, terms=self._terms)
        return watched(outcomes, "Looking at the rows")

    def order(self, rows: int) -> Iterator[Outcome]:
        """Read it again, and order."""
        tagged = replace(self.campaign, tags={"campaign": self.campaign.name, "imported_by": self.person.who})
        return watched(order(tagged, sessions=self.person.sessions, terms=self._terms), "Ordering", total=rows)

    def _terms(self) -> Terms:
        return terms(self.settings, self.campaign.lane)


def campaign(
    file: File,
    *,
    phones: Phones = "phone",
    template: Template = None,
    text: TextColumn = None,
    name: Name = None,
    lane: OnLane = Lane.BULK,
    producer: Producer = PRODUCER,
    nickname: Nickname = None,
    send_at: SendAt = None,
    expires_at: ExpiresAt = None,
    spread: Spread = None,
    once: Once = False,
    allow_empty: AllowEmpty = False,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    sheet: Sheet = None,
    dry_run: DryRun = False,
    report: Report = None,
    yes: Yes = False,
    who: Who = None,
    json: ForPrograms = False,
) -> None:
    """Order an SMS for each row of FILE. Run again after a break, it goes on: no row is ordered twice.

    First it reads the whole file and says what it would order, what that costs and what is wrong; then it asks.
    """
    settings = load_settings()
    _refuse_wrong_files(file, report, settings, dry_run=dry_run)
    source = open_source(file, encoding=encoding, delimiter=delimiter, sheet=sheet)
    its_name, orderer = _name(name, source), _word(producer, "--producer") or PRODUCER
    phone_column = _phone_column(source.rows.header, phones, delimiter)
    fill = _fill(source.rows.header, template, text, allow_empty=allow_empty)
    defaults = _defaults(settings.zone, nickname, send_at, expires_at, spread)
    made = Campaign(
        its_name, lane, orderer, source.rows, phone_column, fill, uuid4(), settings.countries, once, defaults
    )
    with a_person(who) as person, _going_on_after_a_break(made.name):
        _run(Planned(made, source, settings, person, report, json), yes=yes, dry_run=dry_run)


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.report.csv")


def _refuse_wrong_files(file: Path, given: Path | None, settings: Settings, *, dry_run: bool) -> None:
    if file.is_dir():
        raise WrongInput(f"{file} is a folder: name the file in it.")
    if dry_run and not given:
        return
    report = given or _beside(file)
    if report.resolve() == file.resolve() or (report.exists() and file.exists() and report.samefile(file)):
        raise WrongInput("--report is the file itself: give another one.")
    refuse_to_replace(report, "--report", columns=[REPORT_COLUMNS], database_url=settings.database_url)


def _run(planned: Planned, *, yes: bool, dry_run: bool) -> None:
    if planned.json and not (yes or dry_run):
        raise WrongInput("--json cannot ask: add --yes, or --dry-run.")
    warned = warning(planned.report_file, planned.campaign)
    if warned:
        typer.echo(f"WARNING: {warned}", err=True)
    found = Findings()
    _read(found.counting(planned.look()), planned.report if dry_run else None)
    if planned.json and dry_run:
        _print_json(planned, found, dry_run=True)
    elif not planned.json:
        about: dict[str, Any] = {"lane": planned.campaign.lane, "campaign": planned.campaign.name}
        countries = planned.settings.countries
        _print(looked_at(found, planned.price, **about, notes=planned.notes(), countries=countries))
    if dry_run:
        typer.echo("Nothing was ordered: this was a dry run.", err=planned.json)
    else:
        _carry_out(planned, found, yes=yes)


def _carry_out(planned: Planned, before: Findings, *, yes: bool) -> None:
    new = before.became[Became.NEW]
    if new and not yes and not typer.confirm(f"Order {new:,} now?"):
        typer.echo("Nothing was ordered.")
        raise typer.Exit(1)
    planned.source.refuse_if_changed()
    found = Findings()
    # Where nothing is left to order, the report says all the same what has become of each row by now.
    outcomes = planned.order(before.rows) if new else planned.look()
    _read(found.counting(outcomes), planned.report_file)
    if planned.json:
        _print_json(planned, found, dry_run=False)
    else:
        _print(ordered(found, planned.price, report=planned.report_file, notes=planned.notes()))
    if found.became[Became.REFUSED]:
        raise typer.Exit(1)


@contextmanager
def _going_on_after_a_break(name: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        again = "Run the same command again: it goes on where it was."
        # There is no report of this run, by which another file would be found out to be the same campaign's.
        corrected = f"If you correct the file first, add --campaign {quote(visible(name))}, or some get it twice."
        typer.echo(f"\nBroken off. {again} {corrected}", err=True)
        raise typer.Exit(130) from None


def _read(outcomes: Iterable[Outcome], report: Path | None) -> None:
    if report is None:
        deque(outcomes, maxlen=0)
        return
    with whole(report) as out:
        deque(reported(outcomes, out), maxlen=0)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def _print_json(planned: Planned, found: Findings, *, dry_run: bool) -> None:
    report = planned.report if dry_run else planned.report_file
    known = {"campaign": planned.campaign.name, "dry_run": dry_run, "report": report and str(report)}
    known["notes"] = planned.notes()
    typer.echo(dumps(known | found.known(planned.price), ensure_ascii=False))


def _name(given: str | None, source: Source) -> str:
    name = _word(given, "--campaign") or f"import-{source.digest}"
    if len(name) > LONGEST_NAME or ":" in name:
        raise WrongInput(f"--campaign: at most {LONGEST_NAME} characters, and no colon.")
    return name


def _word(given: str | None, option: str) -> str | None:
    if given and len(given) > WORD_CHARACTERS:
        raise WrongInput(f"{option}: at most {WORD_CHARACTERS} characters.")
    return words(given, option)


def _phone_column(header: Sequence[str], name: str, delimiter: str | None) -> int:
    try:
        return column(header, name)
    except UnreadableFile as error:
        if delimiter and len(header) == 1 and (other := next((one for one in DELIMITERS if one in header[0]), None)):
            looks = f"The header looks as if {other!r} stood between the columns: leave --delimiter out."
            raise UnreadableFile(f"{error} {looks}") from None
        is_there_twice = name.strip().casefold() in (one.casefold() for one in header)
        hint = "" if is_there_twice else " Say with --column which holds the phones."
        raise UnreadableFile(f"{error}{hint}") from None


def _fill(header: Sequence[str], template: str | None, text: str | None, *, allow_empty: bool) -> Fill:
    if template is not None and text is None:
        return templates.template(template, header, allow_empty=allow_empty)
    if text is not None and template is None:
        return templates.text_column(text, header)
    raise WrongInput("Give either --template with the SMS, or --text-column with the column that holds it.")


def _defaults(
    zone: ZoneInfo, nickname: str | None, send_at: str | None, expires_at: str | None, spread: str | None
) -> dict[str, Any]:
    start, end = moment(send_at, "--send-at", zone), moment(expires_at, "--expires-at", zone)
    if end and end <= (start or utc_now()):
        raise WrongInput("--expires-at is over before the first could be posted: give a later time.")
    return {
        "nickname": _word(nickname, "--nickname"),
        "send_at": start and start.isoformat(),
        "expires_at": end and end.isoformat(),
        "spread_seconds": _seconds(spread),
    }


def _seconds(written: str | None) -> float | None:
    """How long that is.

    >>> _seconds("2h"), _seconds("1.5m"), _seconds("7200")
    (7200.0, 90.0, 7200.0)
    """
    if written is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", written.strip().lower())
    seconds = float(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < seconds <= LONGEST_SPREAD.total_seconds():
        raise WrongInput(f"--spread {written!r}: give seconds, or a time such as 90m, 2h or 1d; at most 30 days.")
    return seconds
