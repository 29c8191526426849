"""PostgreSQL: units of work in greenlets, over connections that the event loop watches.

| module | what is in it |
|---|---|
| `connection` | statements over one connection of libpq |
| `pool` | who has which connection |
| `database` | transactions, what is tried again, and which errors become which |
"""

from threepid.storage.engine.postgresql.database import Postgresql, PostgresqlTx

__all__ = ["Postgresql", "PostgresqlTx"]
