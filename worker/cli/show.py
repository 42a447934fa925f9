"""``sms show``: one message's whole story."""

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from sqlalchemy.orm import Session

from worker.cli.chosen import MOST_NAMED
from worker.cli.given import WrongInput, words
from worker.cli.listing import known
from worker.cli.person import a_person
from worker.cli.rows import json_line
from worker.cli.shown import masked, visible
from worker.cli.wanted import number
from worker.order_fields import DEFAULT_PRODUCER
from worker.orders import uid_of_key
from worker.settings import Settings, load_settings
from worker.store.engine import reading
from worker.store.listing import Listed, Wanted, page
from worker.store.story import Event, Story, story_of, uids_beginning
from worker.story import told

SHORTEST_PREFIX = 6  # characters of a uid, by which it can be found
OF_UUIDS = frozenset("0123456789abcdef-")

Uid = Annotated[str | None, typer.Argument(metavar="UID", help="Its uid, or how it begins.")]
Key = Annotated[str | None, typer.Option(help="Instead: the key that its producer gave it.")]
Producer = Annotated[str, typer.Option(help="Whose key this is.")]
Phone = Annotated[str | None, typer.Option(help="Instead: the last one to this number, as people write it.")]
RequestId = Annotated[str | None, typer.Option(help="Instead: the one of this request of the gateway's.")]
ForPrograms = Annotated[bool, typer.Option("--json", help="One JSON object, instants in UTC.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Whole phones, and the text.")]


def show(
    uid: Uid = None,
    *,
    key: Key = None,
    producer: Producer = DEFAULT_PRODUCER,
    phone: Phone = None,
    request_id: RequestId = None,
    json: ForPrograms = False,
    reveal: Reveal = False,
) -> None:
    """Tell one message's whole story in the order of time: ordered, posted, answered, reported, told; and what is next.

    A uid whose order was refused has a story, too.

    Exit code 0: it is told. 2: there is no such message, or more than one; wrong input or settings, an unreachable
    database.
    """
    settings = load_settings()
    ways = {"UID": uid, "--key": key, "--phone": phone, "--request-id": request_id}
    given = [(name, way) for name, written in ways.items() if (way := words(written, name)) is not None]
    if len(given) != 1:
        raise WrongInput("Which message? Give its uid, or one of --key, --phone, --request-id.")
    with a_person() as person, reading(person.sessions) as session:
        story = _found(session, settings, *given[0], producer=producer)
    if json:
        typer.echo(json_line(as_known(story, reveal=reveal)))
    else:
        for line in as_lines(story, settings.zone, reveal=reveal):
            typer.echo(line)


def as_known(story: Story, *, reveal: bool) -> dict[str, Any]:
    """All of it for programs."""
    message = known(story.message, reveal=reveal) if story.message else None
    besides = ("operator", "expires_at", "next_poll_at", "polls", "resends", *(["ordered_text"] if reveal else []))
    if message is not None:
        message |= {name: getattr(story, name) for name in besides}
    events = {name: [_event(one) for one in getattr(story, name)] for name in ("events", "ahead")}
    return {"uid": story.uid, "message": message, **events}


def as_lines(story: Story, zone: ZoneInfo, *, reveal: bool) -> list[str]:
    """All of it for people; its times in *zone*."""
    head = _head(story.message, reveal=reveal) if story.message else "never stored: its order was refused"
    texts = {"text": story.message and story.message.text, "ordered text": story.ordered_text} if reveal else {}
    return [
        f"{visible(story.uid)}  {head}",
        *(f"{name}: {visible(text)}" for name, text in texts.items() if text),
        *(_line(one, zone) for one in story.events),
        *(["What is next:"] if story.ahead else ["Nothing more happens to it."]),
        *(_line(one, zone) for one in story.ahead),
    ]


def _found(session: Session, settings: Settings, way: str, given: str, *, producer: str) -> Story:
    if way == "UID":
        return _by_uid(session, given)
    if way == "--key":
        story = story_of(session, uid_of_key(producer, given))
        if story is None:
            raise WrongInput(f"The producer {visible(producer)} has no message with the key {visible(given)}.")
        return story
    phone = number(given, settings.countries) if way == "--phone" else None
    some = page(session, Wanted(phone=phone) if phone else Wanted(request_id=given), limit=MOST_NAMED)
    if not some:
        raise WrongInput(f"There is no message with this {way}: correct it, or look with sms list.")
    if len(some) > 1 and way == "--request-id":
        uids = ", ".join(visible(one.uid) for one in some)
        raise WrongInput(f"That request has more than one message; give one of their uids: {uids}.")
    if len(some) > 1:
        typer.echo("This is the last one to that number; sms list --phone shows the others.", err=True)
    return _by_uid(session, some[0].uid)


def _by_uid(session: Session, given: str) -> Story:
    if story := story_of(session, given):
        return story
    prefix = given.lower()
    begins = len(prefix) >= SHORTEST_PREFIX and OF_UUIDS.issuperset(prefix)
    some = uids_beginning(session, prefix) if begins else []
    if len(some) > 1:
        raise WrongInput(f"More than one uid begins so: {', '.join(some)}.")
    story = story_of(session, some[0]) if some else None
    if story is None:
        raise WrongInput(f"There is no message {visible(given)}: correct the uid and try again.")
    return story


def _head(one: Listed, *, reveal: bool) -> str:
    phone = one.phone if reveal else masked(one.phone)
    why = f" ({visible(one.reason)})" if one.reason else ""
    return f"{one.lane}  {phone}  {one.state}{why}"


def _event(one: Event) -> dict[str, Any]:
    return {"at": one.at, "kind": one.kind, "certain": one.certain, "words": told(one), "fields": one.fields}


def _line(one: Event, zone: ZoneInfo) -> str:
    def local(at: datetime) -> str:
        return at.astimezone(zone).isoformat(sep=" ", timespec="seconds")

    about = " " if one.certain else "~"
    return f"  {about}{local(one.at)}  {visible(told(one, moment=local))}"
