"""How an engine finds what a query asks for."""

import contextlib
import sqlite3

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
