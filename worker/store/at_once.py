"""Messages that are stored in the very batches they are about to be posted in: one commit instead of three."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, delete, update
from sqlalchemy.orm import Session

from models import Batch
from models.lifecycle import BatchState, Lane, MessageState
from worker.gateway import OutgoingSms
from worker.store import lots
from worker.store.claims import Claimant, Claimed
from worker.store.intake import insert_messages
from worker.store.moves import MOVED, Moved, Seen

Row = Mapping[str, Any]
BATCHES = cast("Table", Batch.__table__)


def packed(rows: Sequence[Row], *, limit: int, most: int) -> list[list[Row]]:
    """At most *most* batches of up to *limit* of *rows*, in their order; what fits into none is left out.

    The messages of a batch share their nickname, and no phone stands twice, because nothing in the gateway's answer
    would tell those two apart.
    """
    batches: list[dict[str, Row]] = []
    open_ones: dict[str | None, list[dict[str, Row]]] = {}
    for row in rows:
        phone, fitting = row["phone"], open_ones.setdefault(row["nickname"], [])
        batch = next((one for one in fitting if phone not in one), None)
        if batch is None:
            if len(batches) == most:
                continue
            batch = {}
            batches.append(batch)
            fitting.append(batch)
        batch[phone] = row
        if len(batch) == limit:
            fitting.remove(batch)
    return [list(batch.values()) for batch in batches]


def insert_claimed(
    session: Session,
    claimant: Claimant,
    lane: Lane,
    rows: Sequence[Row],
    batches: Sequence[Sequence[Row]],
    *,
    begun: int,
) -> tuple[dict[str, Moved], list[Claimed]]:
    """Insert *rows* (no uid twice among them), those in *batches* as claimed, the first *begun* batches as begun.

    Return what was new, by its uid, and the batches to post, without what is stored already. Must be committed before
    the first byte leaves.
    """
    limits = [_begins_by(claimant, batch) for batch in batches]
    made = [
        _batch(claimant, lane, batch, None if place < begun else begins_by)
        for place, (batch, begins_by) in enumerate(zip(batches, limits, strict=True))
    ]
    ids = lots.insert_numbered(session, BATCHES, made)
    batch_of = {row["uid"]: batch_id for batch_id, batch in zip(ids, batches, strict=True) for row in batch}
    queued = {"batch_id": None, "posted_at": None}
    posting = {"state": MessageState.POSTING.value, "attempts": 1, "posted_at": claimant.now}
    placed = [
        {**row, **posting, "batch_id": batch_id} if (batch_id := batch_of.get(row["uid"])) else {**row, **queued}
        for row in rows
    ]
    new = insert_messages(session, placed)
    claimed = [
        _claimed(session, new, batch, batch_id, made_of, begins_by=begins_by)
        for batch, batch_id, made_of, begins_by in zip(batches, ids, made, limits, strict=True)
    ]
    return new, [one for one in claimed if one.messages]


def _begins_by(claimant: Claimant, rows: Sequence[Row]) -> datetime:
    ends: list[datetime] = [row["expires_at"] for row in rows if row["expires_at"]]
    return min([claimant.begins_by, *ends])


def _batch(claimant: Claimant, lane: Lane, rows: Sequence[Row], begins_by: datetime | None) -> dict[str, Any]:
    return {
        "account_id": claimant.account_id,
        "lane": lane,
        "nickname": rows[0]["nickname"],
        "state": BatchState.POSTING,
        "size": len(rows),
        "worker": claimant.worker,
        "created_at": claimant.now,
        "begins_by": begins_by,
        "lease_until": claimant.lease_until,
    }


def _claimed(
    session: Session, new: Mapping[str, Moved], rows: Sequence[Row], batch_id: int, batch: Row, *, begins_by: datetime
) -> Claimed:
    """What *rows* became; none of them what was stored before."""
    at = batch["created_at"]
    known = {one.id: one._replace(batch_id=batch_id, posted_at=at) for row in rows if (one := new.get(row["uid"]))}
    if len(known) < len(rows):
        _without_repeats(session, batch_id, len(known))
    session.info[MOVED].extend(Seen(one, MessageState.POSTING, at) for one in known.values())
    messages = [OutgoingSms(new[row["uid"]].id, row["phone"], row["text"]) for row in rows if row["uid"] in new]
    return Claimed(
        batch_id,
        batch["lane"],
        batch["nickname"],
        messages,
        batch["worker"],
        at,
        begins_by=None if batch["begins_by"] else begins_by,
        known=known,
    )


def _without_repeats(session: Session, batch_id: int, size: int) -> None:
    """Some of it were stored before, and are not posted again."""
    this = Batch.id == batch_id
    session.execute(update(Batch).where(this).values(size=size) if size else delete(Batch).where(this))
