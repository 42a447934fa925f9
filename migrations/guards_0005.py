"""What stands on PostgreSQL for two foreign keys from revision 0005 on. Frozen, as a migration is.

A foreign key asks for each row by itself, and that was a third of all that a message cost the database. These triggers
ask the same once for a statement, lock the same rows in the same way, and refuse in the same words.
"""

from typing import NamedTuple


class Guard(NamedTuple):
    """No row of *table* names in *column* an id that *parent* does not have.

    Nobody deletes one that is named or, if *cascade* says so, whatever names it goes with it.
    """

    table: str
    column: str
    parent: str
    cascade: bool = False

    @property
    def key(self) -> str:
        """The foreign key that it stands for; the names of its functions and triggers begin with it."""
        return f"fk_{self.table}_{self.column}"

    @property
    def functions(self) -> dict[str, str]:
        """By name, how to make each of them."""
        refer = (CASCADE if self.cascade else REFER).format(**self._asdict())
        words = self._asdict() | {"key": self.key, "head": HEAD, "refer": refer}
        return {f"{self.key}_{side}": body.format(**words) for side, body in FUNCTIONS.items()}

    @property
    def triggers(self) -> dict[str, tuple[str, str]]:
        """By name, the table of each of them, and how to make it."""
        words = self._asdict() | {"key": self.key}
        return {
            f"{self.key}_{when}": (words[of], statement.format(**words)) for when, (of, statement) in TRIGGERS.items()
        }


REFER = "SELECT {column} INTO found FROM {table} WHERE {column} = ANY (ARRAY(SELECT id FROM gone)) LIMIT 1"
CASCADE = "DELETE FROM {table} WHERE {column} = ANY (ARRAY(SELECT id FROM gone))"

# Whatever the session's search_path is. Planned once, and by index: the workers' sessions plan each statement anew, and
# a plan that was made on a small table would read a large one whole.
HEAD = """RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off"""
FUNCTIONS = {
    # The lock waits for whoever is deleting the row at this moment, and keeps it until our own commit.
    "named": """
CREATE OR REPLACE FUNCTION {key}_named() {head} AS $$
DECLARE
    named bigint[];
    found bigint;
BEGIN
    IF TG_LEVEL = 'ROW' THEN
        named := ARRAY[NEW.{column}];
    ELSE
        SELECT array_agg(DISTINCT {column}) INTO named FROM given WHERE {column} IS NOT NULL;
    END IF;
    PERFORM FROM {parent} WHERE id = ANY (named) FOR KEY SHARE;
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found < cardinality(named) THEN
        SELECT min(one) INTO found FROM unnest(named) AS one
         WHERE NOT EXISTS (SELECT FROM {parent} WHERE id = one);
        RAISE foreign_key_violation USING
            MESSAGE = 'insert or update on table "{table}" violates foreign key constraint "{key}"',
            DETAIL = format('Key ({column})=(%s) is not present in table "{parent}".', found),
            SCHEMA = TG_TABLE_SCHEMA, TABLE = '{table}', CONSTRAINT = '{key}';
    END IF;
    RETURN NULL;
END
$$
""",
    # By then our deletion has locked the rows. What was committed before that is seen, because each question sees what
    # is committed when it is asked; and whoever comes after it waits for our end. An older snapshot would miss some.
    "gone": """
CREATE OR REPLACE FUNCTION {key}_gone() {head} AS $$
DECLARE
    found bigint;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE feature_not_supported USING
            MESSAGE = 'rows of table "{parent}" are deleted in READ COMMITTED transactions only',
            HINT = 'An older snapshot does not see who refers to them since.';
    END IF;
    IF TG_OP = 'DELETE' THEN
        {refer};
    ELSIF TG_OP = 'UPDATE' THEN
        SELECT {column} INTO found FROM {table} WHERE {column} = OLD.id LIMIT 1;
    ELSE
        SELECT {column} INTO found FROM {table} WHERE {column} IS NOT NULL LIMIT 1;
    END IF;
    IF found IS NOT NULL THEN
        RAISE foreign_key_violation USING
            MESSAGE = 'update or delete on table "{parent}" violates foreign key constraint "{key}" '
                'on table "{table}"',
            DETAIL = format('Key (id)=(%s) is still referenced from table "{table}".', found),
            SCHEMA = TG_TABLE_SCHEMA, TABLE = '{table}', CONSTRAINT = '{key}';
    END IF;
    RETURN NULL;
END
$$
""",
}
INSERTED = """
CREATE TRIGGER {key}_inserted AFTER INSERT ON {table} REFERENCING NEW TABLE AS given
FOR EACH STATEMENT EXECUTE FUNCTION {key}_named()
"""
# By row: a statement's trigger with its rows may not say of which column, and would slow down every other update.
UPDATED = """
CREATE TRIGGER {key}_updated AFTER UPDATE OF {column} ON {table}
FOR EACH ROW WHEN (NEW.{column} IS NOT NULL AND NEW.{column} IS DISTINCT FROM OLD.{column})
EXECUTE FUNCTION {key}_named()
"""
DELETED = """
CREATE TRIGGER {key}_deleted AFTER DELETE ON {parent} REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION {key}_gone()
"""
RENUMBERED = """
CREATE TRIGGER {key}_renumbered AFTER UPDATE OF id ON {parent}
FOR EACH ROW WHEN (NEW.id IS DISTINCT FROM OLD.id) EXECUTE FUNCTION {key}_gone()
"""
EMPTIED = "CREATE TRIGGER {key}_emptied AFTER TRUNCATE ON {parent} FOR EACH STATEMENT EXECUTE FUNCTION {key}_gone()"
TRIGGERS = {
    "inserted": ("table", INSERTED),
    "updated": ("table", UPDATED),
    "deleted": ("parent", DELETED),
    "renumbered": ("parent", RENUMBERED),
    "emptied": ("parent", EMPTIED),
}
GUARDS = (Guard("messages", "batch_id", "batches"), Guard("reports", "sms_id", "messages", cascade=True))
