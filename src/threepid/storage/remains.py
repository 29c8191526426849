"""What the database has about an account, whatever table it is in."""

from msgspec import Struct

from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("remains")


class Remains(Struct, frozen=True):
    """The rows of one table that name an account."""

    table_name: str
    count: int


def of_account(tx: Tx, user_id: str) -> list[Remains]:
    """The tables with rows that name the account. It reads whole tables, so it is for reports only."""
    return [found for found in tx.rows(_sql.of_account, Remains, user_id=user_id) if found.count]
