"""The version of the database's schema."""

from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("schema")


def version(tx: Tx) -> int:
    """The number of the newest applied migration; 0 before the first."""
    return int(tx.value(_sql.version) or 0)
