"""Hundreds of rows in one statement: as one JSON to PostgreSQL, row by row from within the driver to SQLite.

Around each row SQLAlchemy does what costs more than the database does; here only values pass, bound as anywhere else.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    Column,
    ColumnClause,
    ColumnElement,
    Connection,
    FromClause,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import InstrumentedAttribute, Session

Row = Mapping[str, Any]

_POSTGRESQL = PGDialect()  # type: ignore[no-untyped-call]


def insert_new(session: Session, table: Table, rows: Sequence[Row], *, unique: str) -> dict[str, int]:
    """Insert *rows*, which have the same columns, but for those whose *unique* value stands already.

    Return the ids of the new ones by that value. No value of *unique* may stand twice among *rows*.
    """
    connection = session.connection()
    if connection.dialect.name != "postgresql":
        return _into_sqlite(connection, table, tuple(rows[0]), rows, unique)
    names = tuple(rows[0])
    columns = dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
    # What is the same in all rows travels once.
    same = tuple(name for name, values in columns.items() if name != unique and _are_one(table.c[name], values))
    others = tuple(name for name in names if name not in same)
    turned = [map(_to_json(table.c[name]), columns[name]) for name in others]
    given = [dict(zip(others, values, strict=True)) for values in zip(*turned, strict=True)]
    statement = _into_postgresql(table, others, same, unique)
    fixed = [_to_driver(table.c[name], connection.dialect)(columns[name][0]) for name in same]
    new = connection.exec_driver_sql(statement, (*fixed, orjson.dumps(given).decode()))
    return dict(map(tuple, new))


def insert_numbered(session: Session, table: Table, rows: Sequence[Row]) -> Sequence[int]:
    """Insert *rows*, at least one, which have the same columns; return their ids in the same order."""
    connection = session.connection()
    if connection.dialect.name != "postgresql":
        highest = _highest(connection, table)
        insert_all(session, table, rows)
        new = connection.exec_driver_sql(f"SELECT id FROM {table.name} WHERE id > ? ORDER BY id", (highest,))  # noqa: S608
        return new.scalars().all()
    names = tuple(rows[0])
    columns = ", ".join(names)
    statement = (
        f"INSERT INTO {table.name} ({columns}) SELECT {columns} "  # noqa: S608
        f"FROM {_recordset([table.c[name] for name in names])} RETURNING id"
    )
    # Numbers are drawn row by row, as they are read.
    return sorted(connection.exec_driver_sql(statement, (orjson.dumps(rows).decode(),)).scalars())


def insert_all(session: Session, table: Table, rows: Sequence[Row]) -> None:
    """Insert *rows*, at least one, which have the same columns."""
    connection, names = session.connection(), tuple(rows[0])
    columns = [table.c[name] for name in names]
    into = f"INSERT INTO {table.name} ({', '.join(names)})"
    if connection.dialect.name == "postgresql":
        turns = [_to_json(column) for column in columns]
        given = [{name: turn(row[name]) for name, turn in zip(names, turns, strict=True)} for row in rows]
        whole = f"{into} SELECT {', '.join(names)} FROM {_recordset(columns)}"  # noqa: S608
        connection.exec_driver_sql(whole, (orjson.dumps(given).decode(),))
        return
    turns = [_to_driver(column, connection.dialect) for column in columns]
    lots = [tuple(turn(row[name]) for turn, name in zip(turns, names, strict=True)) for row in rows]
    connection.exec_driver_sql(f"{into} VALUES ({', '.join('?' * len(names))})", lots)


def given(
    session: Session, name: str, columns: Sequence[ColumnClause[Any]], rows: Sequence[Sequence[Any]]
) -> FromClause:
    """*rows* as something to select and update from, under *name*; one bound value, so the statement is the same."""
    dialect = session.get_bind().dialect
    if dialect.name == "postgresql":
        named = [dict(zip([column.name for column in columns], row, strict=True)) for row in rows]
        whole = cast(bindparam(None, orjson.dumps(named).decode(), Text), JSON)
        return func.json_to_recordset(whole).table_valued(*columns, name=name).render_derived(with_types=True)
    processors = [column.type.dialect_impl(dialect).bind_processor(dialect) or _as_it_is for column in columns]
    plain = [[turn(value) for turn, value in zip(processors, row, strict=True)] for row in rows]
    each = func.json_each(bindparam(None, orjson.dumps(plain).decode(), Text)).table_valued("value").c.value
    cells = [
        func.json_extract(each, f"$[{at}]", type_=column.type).label(column.name) for at, column in enumerate(columns)
    ]
    return select(*cells).cte(name)


def among(session: Session, column: InstrumentedAttribute[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """Whether *column* is one of *values*, however many: one bound value, in a statement that is always the same."""
    given = bindparam(None, orjson.dumps(list(values)).decode(), Text)
    if session.get_bind().dialect.name == "postgresql":
        elements = select(func.json_array_elements_text(cast(given, JSON))).scalar_subquery()
        return column == any_(func.array(elements))
    return column.in_(select(func.json_each(given).table_valued("value").c.value))


def found_among(session: Session, column: Column[Any], values: Iterable[str]) -> set[str]:
    """Those of *values* that *column* holds in some row. For where that is asked for each lot of orders."""
    connection, given = session.connection(), orjson.dumps(list(values)).decode()
    is_postgresql = connection.dialect.name == "postgresql"
    these = (
        "= ANY(ARRAY(SELECT json_array_elements_text(%s)))" if is_postgresql else "IN (SELECT value FROM json_each(?))"
    )
    statement = f"SELECT {column.name} FROM {column.table} WHERE {column.name} {these}"  # noqa: S608
    return set(connection.exec_driver_sql(statement, (given,)).scalars())


class EachRow:
    """An UPDATE of many rows, each with values of its own."""

    def __init__(self, table: Table, *, keys: Sequence[str], sets: Sequence[str], fixed: str, where: str) -> None:
        """*keys* and *sets* name columns whose values are given row by row; *fixed* and *where* are SQL for all."""
        self._columns: Sequence[Column[Any]] = [table.c[name] for name in (*keys, *sets)]
        names = [column.name for column in self._columns]
        given = ", ".join([*(f"{name} = given.{name}" for name in sets), fixed])
        these = " AND ".join(f"{table.name}.{name} = given.{name}" for name in keys)
        self._on_postgresql = (
            f"UPDATE {table.name} SET {given} FROM {_recordset(self._columns)} WHERE {these} AND {where}"  # noqa: S608
        )
        places = {name: f"?{place}" for place, name in enumerate(names, start=1)}
        own = ", ".join([*(f"{name} = {places[name]}" for name in sets), fixed])
        same = " AND ".join(f"{name} = {places[name]}" for name in keys)
        self._on_sqlite = f"UPDATE {table.name} SET {own} WHERE {same} AND {where}"  # noqa: S608

    def run(self, session: Session, rows: Sequence[Sequence[Any]]) -> int:
        """Carry it out with the values of *rows*, first the keys, then what is set; return how many met it all."""
        connection = session.connection()
        names = [column.name for column in self._columns]
        if connection.dialect.name == "postgresql":
            turns = [_to_json(column) for column in self._columns]
            given = [{name: turn(value) for name, turn, value in zip(names, turns, row, strict=True)} for row in rows]
            return connection.exec_driver_sql(self._on_postgresql, (orjson.dumps(given).decode(),)).rowcount
        turns = [_to_driver(column, connection.dialect) for column in self._columns]
        lots = [tuple(turn(value) for turn, value in zip(turns, row, strict=True)) for row in rows]
        return connection.exec_driver_sql(self._on_sqlite, lots).rowcount


def _are_one(column: Column[Any], values: Sequence[Any]) -> bool:
    """Whether *values* are all the same, as the database sees it."""
    first = values[0]
    if values.count(first) < len(values):
        return False
    # 1, 1.0 and true are one to Python, but three in JSON.
    return not isinstance(column.type, JSON) or first in ({}, None) or len(set(map(json.dumps, values))) == 1


@lru_cache(maxsize=256)  # each mixture of what is the same and what is not has a statement of its own
def _into_postgresql(table: Table, others: Sequence[str], same: Sequence[str], unique: str) -> str:
    fixed = [f"%s::{table.c[name].type.compile(_POSTGRESQL)}" for name in same]
    return (
        f"INSERT INTO {table.name} ({', '.join([*same, *others])}) SELECT {', '.join([*fixed, *others])} "  # noqa: S608
        f"FROM {_recordset([table.c[name] for name in others])} "
        f"ON CONFLICT ({unique}) DO NOTHING RETURNING {unique}, id"
    )


def _recordset(columns: Sequence[Column[Any]]) -> str:
    typed = ", ".join(f"{column.name} {column.type.compile(_POSTGRESQL)}" for column in columns)
    return f"json_to_recordset(%s) AS given ({typed})"


def _into_sqlite(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Row], unique: str
) -> dict[str, int]:
    # There is one writer at a time, so what has a higher number afterwards is new, and ours.
    highest = _highest(connection, table)
    turns = [_to_driver(table.c[name], connection.dialect) for name in names]
    lots = [tuple(turn(row[name]) for turn, name in zip(turns, names, strict=True)) for row in rows]
    marks = ", ".join("?" * len(names))
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks}) "  # noqa: S608
        f"ON CONFLICT ({unique}) DO NOTHING",
        lots,
    )
    new = connection.exec_driver_sql(f"SELECT {unique}, id FROM {table.name} WHERE id > ?", (highest,))  # noqa: S608
    return {value: number for value, number in new}  # noqa: C416


def _highest(connection: Connection, table: Table) -> int:
    highest: int = connection.exec_driver_sql(f"SELECT coalesce(max(id), 0) FROM {table.name}").scalar_one()  # noqa: S608
    return highest


def _to_json(column: Column[Any]) -> Callable[[Any], Any]:
    """What makes of a value what orjson writes as PostgreSQL reads it."""
    # By the standard library: PostgreSQL is to judge of numbers that are none, where orjson would write null.
    return _raw_json if isinstance(column.type, JSON) else _as_it_is


@cache
def _to_driver(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any]:
    """What makes of a value what the driver takes; of one value many times in a row, once."""
    if isinstance(column.type, JSON):
        return _json
    processor = column.type.dialect_impl(dialect).bind_processor(dialect)
    return _remembering(processor) if processor else _as_it_is


def _remembering(turn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    last: list[tuple[Any, Any]] = [(None, None)]

    def remembered(value: Any) -> Any:
        known, turned = last[0]
        if value is not known:
            turned = turn(value)
            last[0] = (value, turned)
        return turned

    return remembered


def _raw_json(value: Any) -> Any:
    return None if value is None else orjson.Fragment(json.dumps(value))


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _as_it_is(value: Any) -> Any:
    return value
