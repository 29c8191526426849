"""PostgreSQL: units of work run in greenlets, on connections that the event loop watches.

| module | what is in it |
|---|---|
| `connection` | statements on one libpq connection |
| `pool` | lends connections to units of work |
| `transaction` | statements of a transaction, and the mapping of errors |
| `interleaved` | units of work that ask together, in one pipeline |
| `shared_reads` | reads that share a connection |
| `together` | group commit of units that change one row |
| `database` | transactions and retries |
"""

from threepid.storage.engine.postgresql.database import Postgresql
from threepid.storage.engine.postgresql.transaction import PostgresqlTx

__all__ = ["Postgresql", "PostgresqlTx"]
