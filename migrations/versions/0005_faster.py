"""What makes a message cheaper: guards asked by statement, an index by lane and rung, indexes without lists of rows."""

import sqlalchemy as sa
from alembic import op

from migrations.concurrently import create_index, drop_index
from migrations.guards_0005 import GUARDS, Guard

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

RUNG = "ix_messages_poll_rung"
YOUNG = "ix_messages_poll_young"
SUBMITTED = "state = 'submitted'"
ROW_BY_ROW = ("ix_messages_batch_id", "ix_messages_request_id")
# What needs two tables at once may meet a worker that has one of them and wants the other. It gives way before the worker
# is taken for deadlocked, which is after PostgreSQL's deadlock_timeout (1 s), and tries again. The lock before them all is
# one that no worker minds: it makes an autovacuum give way, and keeps the next one from beginning.
BOTH = """
DO $both$
DECLARE
    has_one boolean;
BEGIN
    LOCK TABLE {parent}, {table} IN SHARE UPDATE EXCLUSIVE MODE;
    FOR attempt IN 1..{attempts} LOOP
        BEGIN
            has_one := false;
            SET LOCAL lock_timeout = '400ms';
            LOCK TABLE {parent} IN {mode} MODE;
            has_one := true;
            SET LOCAL lock_timeout = '100ms';
            LOCK TABLE {table} IN {mode} MODE;
            {change};
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = {attempts} OR NOT has_one THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.2 * random());
        END;
    END LOOP;
END
$both$
"""
ATTEMPTS = 10
NO_KEY = "ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {key}"
KEY = "ALTER TABLE {table} ADD CONSTRAINT {key} FOREIGN KEY ({column}) REFERENCES {parent} (id) {action} NOT VALID"
HAS_KEY = "SELECT count(*) FROM pg_constraint WHERE conname = :name AND conrelid = CAST(:table AS regclass)"
HAS_TRIGGER = "SELECT count(*) FROM pg_trigger WHERE tgname = :name AND tgrelid = CAST(:table AS regclass)"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # Each statement commits by itself and can be repeated. Until the last is through, the revision stays the old one.
        with op.get_context().autocommit_block():
            create_index(RUNG, "messages", ["lane", "polls", "next_poll_at"], where=SUBMITTED)
            for name in ROW_BY_ROW:
                op.execute(f"ALTER INDEX {name} SET (deduplicate_items = off)")
            for guard in GUARDS:
                _put_triggers(guard)
                _with_both(guard, "ACCESS EXCLUSIVE", NO_KEY)
    else:
        create_index(RUNG, "messages", ["lane", "polls", "next_poll_at"], where=SUBMITTED)
    drop_index(YOUNG, "messages")
    _works_with("0004")


def _put_triggers(guard: Guard) -> None:
    for function in guard.functions.values():
        op.execute(function)
    for name, (table, statement) in guard.triggers.items():
        if not _has(HAS_TRIGGER, name, table):
            op.execute(statement)


def _with_both(guard: Guard, mode: str, change: str) -> None:
    words = guard._asdict() | {"key": guard.key, "action": "ON DELETE CASCADE" if guard.cascade else ""}
    op.execute(BOTH.format(**words, mode=mode, attempts=ATTEMPTS, change=change.format(**words)))


def _has(question: str, name: str, table: str) -> bool:
    return bool(op.get_bind().execute(sa.text(question), {"name": name, "table": table}).scalar_one())


def _works_with(oldest: str) -> None:
    """The oldest revision whose code works on this schema: the last release's workers may be started meanwhile."""
    op.execute("DROP VIEW schema_works_with")
    op.execute(f"CREATE VIEW schema_works_with AS SELECT '{oldest}' AS oldest")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        with op.get_context().autocommit_block():
            create_index(YOUNG, "messages", ["polls", "next_poll_at"], where=SUBMITTED)
            for name in ROW_BY_ROW:
                op.execute(f"ALTER INDEX {name} RESET (deduplicate_items)")
            for guard in GUARDS:
                _put_key(guard)
                _drop_triggers(guard)
    else:
        create_index(YOUNG, "messages", ["polls", "next_poll_at"], where=SUBMITTED)
    drop_index(RUNG, "messages")
    _works_with("0003")


def _put_key(guard: Guard) -> None:
    if not _has(HAS_KEY, guard.key, guard.table):
        _with_both(guard, "SHARE ROW EXCLUSIVE", KEY)
    op.execute(f"ALTER TABLE {guard.table} VALIDATE CONSTRAINT {guard.key}")  # looks at each row, and holds up nobody


def _drop_triggers(guard: Guard) -> None:
    for name, (table, _) in guard.triggers.items():
        op.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
    for name in guard.functions:
        op.execute(f"DROP FUNCTION IF EXISTS {name}()")
