"""``sms send``: one SMS, ordered by a person."""

import sys
import time
from collections.abc import Callable
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from models.lifecycle import FINAL, Lane, MessageState
from worker.campaigns.findings import Price
from worker.campaigns.single import Ordered, order_one
from worker.cli.campaign_shown import what_holds_up
from worker.cli.given import WrongInput, moment, words
from worker.cli.person import Who, a_person
from worker.cli.rows import json_line
from worker.cli.shown import visible
from worker.clock import utc_now
from worker.order_fields import DEFAULT_PRODUCER, Terms
from worker.people import Person
from worker.settings import Settings, load_settings
from worker.store.engine import reading
from worker.store.listing import Listed, Wanted, page
from worker.wiring import terms

LOOK_EVERY_SECONDS = 0.5
DEADLINE_SECONDS = 120
LONGEST_WAIT_SECONDS = 86_400

Phone = Annotated[str, typer.Argument(help="A mobile number, as people write it.")]
Text = Annotated[str, typer.Argument(help="The SMS; - reads it from standard input, so that no history keeps it.")]
OnLane = Annotated[Lane, typer.Option(help="otp, normal or bulk.")]
Nickname = Annotated[str | None, typer.Option(help="The sender name.")]
Key = Annotated[
    str | None, typer.Option(help="Your own name for it: ordered again with the same, it is not sent again.")
]
Producer = Annotated[str, typer.Option(help="Which application orders, for limits and costs.")]
SendAt = Annotated[
    str | None, typer.Option(help="Not before this ISO time; without an offset, in SMS_GATEWAY_TIMEZONE.")
]
ExpiresAt = Annotated[str | None, typer.Option(help="Not from this ISO time on; see --send-at.")]
CallbackUrl = Annotated[str | None, typer.Option(help="Tell this https address of each change.")]
CallbackTask = Annotated[str | None, typer.Option(help="Tell this Celery task of each change.")]
CallbackQueue = Annotated[str | None, typer.Option(help="The queue of --callback-task.")]
Wait = Annotated[bool, typer.Option("--wait", help="Follow it until it is final, and say each state.")]
Deadline = Annotated[
    float, typer.Option(min=0, max=LONGEST_WAIT_SECONDS, metavar="SECONDS", help="Wait at most so long.")
]
ForPrograms = Annotated[bool, typer.Option("--json", help="One JSON object; with --wait, of how it ended.")]


def send(
    phone: Phone,
    text: Text,
    *,
    lane: OnLane = Lane.NORMAL,
    nickname: Nickname = None,
    key: Key = None,
    producer: Producer = DEFAULT_PRODUCER,
    send_at: SendAt = None,
    expires_at: ExpiresAt = None,
    callback_url: CallbackUrl = None,
    callback_task: CallbackTask = None,
    callback_queue: CallbackQueue = None,
    wait: Wait = False,
    deadline: Deadline = DEADLINE_SECONDS,
    who: Who = None,
    json: ForPrograms = False,
) -> None:
    """Order one SMS. A worker posts it as soon as its lane's turn comes.

    Exit code 0: it is ordered, or was before by the same key; with --wait: it is delivered.

    1: it was refused, and the one line says why; with --wait: it ended otherwise, or was not final by the deadline.

    2: wrong input or settings, an unreachable database.
    """
    settings = load_settings()
    times = _times(send_at, expires_at, settings.zone)
    fields = {"phone": phone, "text": sys.stdin.read().removesuffix("\n") if text == "-" else text, **times}
    fields |= _named(nickname=nickname, key=key, producer=producer)
    fields["callback"] = _callback(callback_url, callback_task, callback_queue)
    say: Callable[[str], None] = (lambda _: None) if json else typer.echo
    with a_person(who) as person:
        ordered = _ordered(person, fields, terms(settings, lane), as_json=json)
        for line in _words_for(ordered, _price(settings, nickname), what_holds_up(settings, lane, person.now())):
            say(line)
        state = _followed(person, ordered.uid, deadline, say) if wait else None
    _end(ordered, state, as_json=json)


def _times(send_at: str | None, expires_at: str | None, zone: ZoneInfo) -> dict[str, Any]:
    start, end = moment(send_at, "--send-at", zone), moment(expires_at, "--expires-at", zone)
    if end and end <= (start or utc_now()):
        raise WrongInput("--expires-at is over before it could be posted: give a later time.")
    return {"send_at": start and start.isoformat(), "expires_at": end and end.isoformat()}


def _named(**written: str | None) -> dict[str, Any]:
    return {name: words(word, f"--{name}") for name, word in written.items()}


def _callback(url: str | None, task: str | None, queue: str | None) -> dict[str, str] | None:
    if (url and task) or (queue and not task):
        raise WrongInput("Give --callback-url, or --callback-task with its --callback-queue.")
    if task:
        return {"task": task} | ({"queue": queue} if queue else {})
    return {"url": url} if url else None


def _price(settings: Settings, nickname: str | None) -> Price:
    sender = nickname or settings.gateway_nickname or ""
    per_part = settings.price_per_part_of_nickname.get(sender, settings.price_per_part)
    return Price(per_part, settings.price_currency)


def _ordered(person: Person, fields: dict[str, Any], its_terms: Terms, *, as_json: bool) -> Ordered:
    """Order it; where it is refused, say why and end."""
    ordered = order_one(fields | {"ordered_by": person.who}, sessions=person.sessions, terms=its_terms)
    if ordered.refusal:
        _refuse(ordered, as_json=as_json)
    return ordered


def _refuse(ordered: Ordered, *, as_json: bool) -> None:
    why = ordered.refusal
    if as_json:
        typer.echo(json_line(_known(ordered)))
    elif why:
        typer.echo(f"Refused ({why.reason}): {visible(why.explanation)}", err=True)
    raise typer.Exit(1)


def _words_for(ordered: Ordered, price: Price, notes: list[str]) -> list[str]:
    uid = visible(ordered.uid)
    look = f"Its story: sms show {uid}"
    if not ordered.is_new:
        return [f"{uid} was ordered before by this key: it is {ordered.state}, and nothing was sent again.", look]
    parts = ordered.parts or 0
    money = price.of(parts)
    cost = f", {money:,.2f} {price.currency}" if money else ""
    return [f"Ordered: {uid} ({parts} part{'s' * (parts != 1)}, {ordered.encoding}{cost}).", *notes, look]


def _end(ordered: Ordered, state: str | None, *, as_json: bool) -> None:
    """With the last *state* that was seen of it, if it was followed."""
    if as_json:
        typer.echo(json_line(_known(ordered) | ({"state": state} if state else {})))
    if state and state != MessageState.DELIVERED:
        raise typer.Exit(1)


def _known(ordered: Ordered) -> dict[str, Any]:
    why = ordered.refusal
    said = {"refused": why and why.reason, "explanation": why and why.explanation}
    return {name: getattr(ordered, name) for name in ("uid", "state", "is_new", "parts", "encoding")} | said


def _followed(person: Person, uid: str, deadline_seconds: float, say: Callable[[str], None]) -> str:
    """Say each state that it reaches, and return the last one that was seen."""
    ends = time.monotonic() + deadline_seconds
    seen = ""
    while True:
        one = _now(person, uid)
        if one.state != seen:
            say(f"{one.state}{f' ({visible(one.reason)})' if one.reason else ''}")
            seen = one.state
        if MessageState(seen) in FINAL:
            return seen
        if time.monotonic() >= ends:
            say(f"Not final after {deadline_seconds:g} seconds; it goes on all the same.")
            return seen
        time.sleep(LOOK_EVERY_SECONDS)


def _now(person: Person, uid: str) -> Listed:
    with reading(person.sessions) as session:
        return page(session, Wanted(uid=uid), limit=1)[0]
