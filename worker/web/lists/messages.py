"""The list of messages."""

from typing import Any

from sqlalchemy.orm import Session

from models import Message
from models.lifecycle import Lane, MessageState
from worker.store import listing
from worker.store.listing import Wanted
from worker.web.languages import lazy
from worker.web.lists.sheets import Asked, Column, Counted, Filter, Found, Kind, Sheet, Sort, to_batch, to_message
from worker.web.lists.sheets import to_request as to_request_of


class Messages:
    """A `Source` over `worker.store.listing`."""

    def page(self, session: Session, asked: Asked, *, before: int | None, after: int | None, limit: int) -> Found:
        """See `Source`."""
        found = listing.page(session, _wanted(asked), before_id=before, after_id=after, limit=limit)
        came_back = after is not None and before is None
        newer = found[0].id if found and came_back else None
        return Found(found, older=found.next_before_id, newer=newer)

    def counted(self, session: Session, asked: Asked) -> Counted | None:
        """See `Source`."""
        about = listing.estimate(session, _wanted(asked))
        return Counted(about.count, exact=about.exact)

    def one(self, session: Session, number: int) -> Any | None:
        """See `Source`."""
        return session.get(Message, number)


def _wanted(asked: Asked) -> Wanted:
    names = {"batch": "batch_id"}
    states = (MessageState(asked["state"]),) if "state" in asked else ()
    lane = Lane(asked["lane"]) if "lane" in asked else None
    others = {names.get(name, name): value for name, value in asked.items() if name not in {"state", "lane"}}
    return Wanted(states=states, lane=lane, **others)


MESSAGES = Sheet(
    "messages",
    lazy("Messages"),
    Messages(),
    (
        Column("created_at", lazy("Ordered"), Kind.AT, to_message),
        Column("state", lazy("State"), Kind.WORD),
        Column("phone", lazy("Phone"), Kind.PHONE),
        Column("text", lazy("Text"), Kind.SECRET),
        Column("lane", lazy("Lane"), Kind.WORD),
        Column("producer", lazy("Producer")),
        Column("nickname", lazy("Nickname")),
        Column("reason", lazy("Reason"), Kind.WRITTEN),
        Column("batch_id", lazy("Batch"), Kind.PLAIN, to_batch),
        Column("request_id", lazy("request_id"), Kind.PLAIN, to_request_of),
        Column("key", lazy("Key"), Kind.WRITTEN),
        Column("uid", lazy("uid"), Kind.PLAIN, to_message, listed=False),
        *(
            Column(name, name, kind, listed=False)
            for name, kind in (
                ("ordered_phone", Kind.PHONE),
                ("gateway_status", Kind.WRITTEN),
                *((name, Kind.PLAIN) for name in ("error_no", "message_id", "parts", "encoding")),
                *((name, Kind.PLAIN) for name in ("billed_parts", "attempts")),
                *((name, Kind.AT) for name in ("send_at", "posted_at", "submitted_at", "delivered_at", "finalized_at")),
            )
        ),
    ),
    (
        Filter("state", lazy("State"), Sort.CHOICE, tuple(MessageState)),
        Filter("lane", lazy("Lane"), Sort.CHOICE, tuple(Lane)),
        Filter("producer", lazy("Producer")),
        Filter("nickname", lazy("Nickname")),
        Filter("since", lazy("Since"), Sort.MOMENT),
        Filter("until", lazy("Until"), Sort.MOMENT),
        Filter("phone", lazy("Phone"), Sort.PHONE),
        Filter("key", lazy("Key")),
        Filter("request_id", lazy("request_id")),
        Filter("batch", lazy("Batch"), Sort.NUMBER),
    ),
    has_pages=False,  # each has its story
)
