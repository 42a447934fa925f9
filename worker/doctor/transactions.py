"""For whom PostgreSQL keeps dead rows: open transactions, prepared ones, and the slots of standbys."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from worker.doctor.check import Found, Ground, note, ok, warning

OPEN_WARNS_SECONDS = 600
BEHIND_WARNS = 10_000  # where it is not seen since when: each of these may have left a dead row
MOST_SHOWN = 5
REMEDY = (
    "run reports and backups on a standby (hot_standby_feedback = off) or in pieces; end what was forgotten with "
    "SELECT pg_terminate_backend(PID), ROLLBACK PREPARED or pg_drop_replication_slot; for people's roles set "
    "idle_in_transaction_session_timeout"
)
SHOW = "GRANT pg_read_all_stats TO this role, to see since when"

# Of other roles' sessions PostgreSQL shows this role nothing but who they are and which rows are kept for them, unless
# it is in pg_read_all_stats. A session of no database is a standby's. For VACUUM no rows are kept.
HOLDERS = text("""
    SELECT 'pid ' || pid || coalesce(' (' || nullif(application_name, '') || ')', ''), xact_start,
           extract(epoch FROM clock_timestamp() - xact_start)::float, greatest(age(backend_xid), age(backend_xmin))
      FROM pg_stat_activity
     WHERE coalesce(datname, current_database()) = current_database() AND usesysid IS NOT NULL
       AND (xact_start IS NOT NULL OR backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) AND leader_pid IS NULL
       AND pid <> pg_backend_pid() AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
     UNION ALL
    SELECT 'the prepared transaction ' || gid, prepared,
           extract(epoch FROM clock_timestamp() - prepared)::float, age(transaction)
      FROM pg_prepared_xacts WHERE database = current_database()
     UNION ALL
    SELECT 'the replication slot ' || slot_name || CASE WHEN active THEN '' ELSE ', which nobody reads' END,
           NULL, NULL, age(xmin)
      FROM pg_replication_slots WHERE xmin IS NOT NULL
""")


class Holder(NamedTuple):
    """Whoever may still see what is dead to all others."""

    who: str
    since: datetime | None  #: None where PostgreSQL does not say
    seconds: float | None
    behind: int | None  #: transactions that have begun to write since then; None where no rows are kept for it now

    @property
    def is_old(self) -> bool:
        """Whether it may hurt."""
        if self.seconds is None:
            return (self.behind or 0) > BEHIND_WARNS
        return self.seconds > OPEN_WARNS_SECONDS

    @property
    def words(self) -> str:
        """Who it is, and since when."""
        if self.since is None or self.seconds is None:
            return f"{self.who}, {self.behind or 0:,} transactions ago"
        return f"{self.who} since {self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {self.seconds / 60:,.0f} min"


def look(_: Ground, connection: Connection) -> Found:
    """Who keeps rows from being cleared away; never what they asked for."""
    holders = [Holder(*row) for row in connection.execute(HOLDERS)]
    hidden = [one for one in holders if one.since is None]
    if old := [one for one in holders if one.is_old]:
        remedy = f"{REMEDY}; {SHOW}" if set(old) & set(hidden) else REMEDY
        return warning(f"open for long: {_listed(old)}", remedy)
    if hidden:
        return note(f"rows are kept, and PostgreSQL does not say since when, for {_listed(hidden)}", SHOW)
    return ok(f"none has been open for {OPEN_WARNS_SECONDS / 60:.0f} minutes")


def _listed(holders: Sequence[Holder]) -> str:
    worst_first = sorted(holders, key=lambda one: (one.seconds or 0, one.behind or 0), reverse=True)
    more = f"; and {len(holders) - MOST_SHOWN} more" if len(holders) > MOST_SHOWN else ""
    return "; ".join(one.words for one in worst_first[:MOST_SHOWN]) + more
