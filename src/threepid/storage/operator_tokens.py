"""Tokens of the admin API."""

from msgspec import Struct

from threepid.storage.engine.database import AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("operator_tokens")


class OperatorToken(Struct, frozen=True):
    """A token, known by its name; `scopes` are words. Times in milliseconds."""

    name: str
    scopes: str
    created_at: int
    expires_at: int
    used_at: int | None


def insert(tx: Tx, token_hash: bytes, token: OperatorToken) -> bool:
    """Store a token; False if the name is taken."""
    parameters = {"name": token.name, "scopes": token.scopes}
    times = {"created_at": token.created_at, "expires_at": token.expires_at}
    return tx.run(_sql.insert, AT_MOST_ONE, token_hash=token_hash, **parameters, **times) == 1


def get(tx: Tx, token_hash: bytes) -> OperatorToken | None:
    """The token with this hash, even an expired one."""
    return tx.row(_sql.get, OperatorToken, token_hash=token_hash)


def all_tokens(tx: Tx) -> list[OperatorToken]:
    """All tokens in the order of their names."""
    return tx.rows(_sql.all_tokens, OperatorToken)


def used(tx: Tx, name: str, now: int) -> None:
    """Record that the token with this name was used."""
    tx.run(_sql.used, AT_MOST_ONE, name=name, now=now)


def delete(tx: Tx, name: str) -> bool:
    """Delete a token; False if there is none with this name."""
    return tx.run(_sql.delete, AT_MOST_ONE, name=name) == 1
