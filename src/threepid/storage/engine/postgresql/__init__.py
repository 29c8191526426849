"""PostgreSQL: units of work run in greenlets, on connections that the event loop watches.

| module | what is in it |
|---|---|
| `connection` | statements on one libpq connection |
| `pool` | lends connections to units of work |
| `database` | transactions, retries and the mapping of errors |
"""

from threepid.storage.engine.postgresql.database import Postgresql, PostgresqlTx

__all__ = ["Postgresql", "PostgresqlTx"]
