"""Registration tokens."""

from msgspec import Struct

from threepid.storage.engine.database import AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("registration_tokens")


class RegistrationToken(Struct, frozen=True):
    """A token, known by its hint; `uses_allowed` None means unlimited. Times in milliseconds."""

    token_hash: str
    hint: str
    uses_allowed: int | None
    used: int
    created_at: int
    expires_at: int | None


def insert(
    tx: Tx, *, token_hash: str, hint: str, uses_allowed: int | None, created_at: int, expires_at: int | None
) -> bool:
    """Store the token; False if the token or the hint exists already."""
    return (
        tx.run(
            _sql.insert,
            AT_MOST_ONE,
            token_hash=token_hash,
            hint=hint,
            uses_allowed=uses_allowed,
            created_at=created_at,
            expires_at=expires_at,
        )
        == 1
    )


def get(tx: Tx, token_hash: str) -> RegistrationToken | None:
    """The token with this hash."""
    return tx.row(_sql.get, RegistrationToken, token_hash=token_hash)


def all_tokens(tx: Tx) -> list[RegistrationToken]:
    """All tokens, oldest first."""
    return tx.rows(_sql.all_tokens, RegistrationToken)


def named(tx: Tx, *, token_hash: str, hint: str) -> list[RegistrationToken]:
    """The tokens with this hash or this hint."""
    return tx.rows(_sql.named, RegistrationToken, token_hash=token_hash, hint=hint)


def use(tx: Tx, token_hash: str, now: int) -> bool:
    """Count one registration; False if the token is unknown, used up or expired."""
    return tx.run(_sql.use, AT_MOST_ONE, token_hash=token_hash, now=now) == 1


def delete(tx: Tx, token_hash: str) -> bool:
    """Delete the token; False if there is no such token."""
    return tx.run(_sql.delete, AT_MOST_ONE, token_hash=token_hash) == 1
