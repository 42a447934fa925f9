"""Whether an order that is all right in itself is accepted: the do-not-send list, caps, duplicates."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from worker.errors import OrderRefused
from worker.order_fields import Terms


def keep_out(session: Session, rows: Sequence[Mapping[str, Any]], terms: Terms) -> dict[str, OrderRefused]:
    """Why some of *rows*, messages about to be inserted (no uid twice among them), are not accepted, by their uid.

    What is stored already is never kept out: an order that comes again changes nothing.
    """
    return {}
