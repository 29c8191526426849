"""How an engine finds what a query asks for."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import apsw

from threepid.storage.engine.postgresql.connection import Statement
from threepid.storage.engine.queries import Query
from world import World


def plan(world: World, engine: str, query: Query, parameters: dict[str, str]) -> str:
    """The engine's plan for a query. On PostgreSQL it does not read whole tables and does not sort, if there is another way."""
    if engine == "sqlite":
        with contextlib.closing(sqlite3.connect(world.database_url.removeprefix("sqlite:"))) as database:
            return str(database.execute(f"EXPLAIN QUERY PLAN {query.sqlite}", parameters).fetchall())
    import psycopg

    with psycopg.connect(world.database_url, autocommit=True) as connection:
        # Reading a table of ten rows as a whole is right; what counts is which way there is.
        connection.execute(b"SET enable_seqscan = off")
        connection.execute(b"SET enable_sort = off")
        return str(connection.execute(f"EXPLAIN {query.postgresql}".encode(), parameters).fetchall())


def read_as_a_whole(url: str, engine: str, query: Query) -> set[str]:
    """The tables that a query reads from one end to the other, whatever its parameters are.

    A partial index does not count: it has few rows. On PostgreSQL, the plan is one that fits all parameters.
    """
    if query.is_plain_insert:
        return set()
    return (_by_sqlite if engine == "sqlite" else _by_postgresql)(url, query)


def _by_sqlite(url: str, query: Query) -> set[str]:
    with contextlib.closing(apsw.Connection(url.removeprefix("sqlite:"))) as database:
        schema = list(database.execute("SELECT type, name, sql FROM sqlite_master"))
        tables = {name for kind, name, _ in schema if kind == "table"}
        partial = {name for kind, name, sql in schema if kind == "index" and " WHERE " in (sql or "")}
        names = dict.fromkeys(re.findall(r":(\w+)", query.sqlite))
        steps = [step[3].split() for step in database.execute(f"EXPLAIN QUERY PLAN {query.sqlite}", names)]
    return {step[1] for step in steps if step[0] == "SCAN" and step[1] in tables and step[-1] not in partial}


def _by_postgresql(url: str, query: Query) -> set[str]:
    import psycopg

    statement = Statement(query.postgresql)
    nothing = f"({', '.join(['NULL'] * len(statement.names))})" if statement.names else ""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        # Here the tables are empty, and then a merge of two of them is right.
        for way in (b"seqscan", b"mergejoin", b"hashjoin"):
            connection.execute(b"SET enable_" + way + b" = off")
        connection.execute(b"SET plan_cache_mode = force_generic_plan")
        connection.execute(b"PREPARE asked AS " + statement.text)
        row = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE asked{nothing}".encode()).fetchone()
        partial = {
            name
            for (name,) in connection.execute(
                b"SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indpred IS NOT NULL"
            )
        }
    assert row is not None
    return {
        node["Relation Name"]
        for node in _nodes(row[0][0]["Plan"])
        if node["Node Type"] in {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
        and not {"Index Cond", "Recheck Cond"} & set(node)
        and node.get("Index Name") not in partial
    }


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from _nodes(below)
