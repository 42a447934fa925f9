"""How a database runs the statements that are sent to it."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, event

EXPLAIN = "EXPLAIN "
REALLY = "EXPLAIN (ANALYZE, FORMAT JSON) "


def plans_of(engine: Engine, act: Callable[[], object], *, of: tuple[str, ...], explain: str = EXPLAIN) -> list[str]:
    """How the database runs the statements that *act* sends and that begin with *of*, with their own values."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Connection, _k: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith(of):
            seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    act()
    event.remove(engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else explain
    with engine.connect() as connection:
        return [
            json.dumps([list(row) for row in connection.exec_driver_sql(explain + sql, values)]) for sql, values in seen
        ]


def rows_read(engine: Engine, act: Callable[[], object], *, of: tuple[str, ...]) -> Sequence[float]:
    """The most rows that any step has read, for each of these statements. PostgreSQL only."""
    plans = plans_of(engine, act, of=of, explain=REALLY)
    return [_most_rows(json.loads(plan)[0][0][0]["Plan"]) for plan in plans]


def _most_rows(node: dict[str, Any]) -> float:
    here = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return float(max([here, *(_most_rows(inner) for inner in node.get("Plans", []))]))
