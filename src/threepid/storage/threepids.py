"""Contacts of accounts, and where they were published."""

from typing import Final

import msgspec
from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("threepids")


class Threepid(Struct, frozen=True, array_like=True):
    """One contact of an account. `canonical` is what is compared, `address` what was verified; times in milliseconds."""

    medium: str
    canonical: str
    address: str
    validated_at: int
    added_at: int


class Holder(Struct, frozen=True):
    """The account that owns an address, and the spelling that it has verified."""

    user_id: str
    address: str


_decode: Final = msgspec.json.Decoder(list[Threepid]).decode


class Binding(Struct, frozen=True):
    """An address, the identity server at which it was published, and when."""

    medium: str
    canonical: str
    id_server: str
    bound_at: int
    here_at: int | None
    """When that server was our own, by the name that it had then; None: it was another."""


def insert(tx: Tx, user_id: str, threepid: Threepid) -> bool:
    """Give the address to the account; False if it has an owner already."""
    return (
        tx.run(
            _sql.insert,
            AT_MOST_ONE,
            user_id=user_id,
            medium=threepid.medium,
            canonical=threepid.canonical,
            address=threepid.address,
            validated_at=threepid.validated_at,
            added_at=threepid.added_at,
        )
        == 1
    )


def refresh(tx: Tx, user_id: str, threepid: Threepid) -> bool:
    """Note that its owner has proven the address again; False if the account does not own it."""
    return (
        tx.run(
            _sql.refresh,
            AT_MOST_ONE,
            user_id=user_id,
            medium=threepid.medium,
            canonical=threepid.canonical,
            address=threepid.address,
            validated_at=threepid.validated_at,
        )
        == 1
    )


def of_user(tx: Tx, user_id: str) -> list[Threepid]:
    """The contacts of an account, oldest first."""
    return _decode(tx.value(_sql.of_user, user_id=user_id))


def count_of_user(tx: Tx, user_id: str) -> int:
    """How many contacts an account has."""
    return int(tx.value(_sql.count_of_user, user_id=user_id))


def owner(tx: Tx, medium: str, canonical: str) -> str | None:
    """The account that owns an address."""
    user_id: str | None = tx.value(_sql.owner, medium=medium, canonical=canonical)
    return user_id


def holder(tx: Tx, medium: str, canonical: str) -> Holder | None:
    """Who owns an address, in which spelling."""
    return tx.row(_sql.holder, Holder, medium=medium, canonical=canonical)


def get(tx: Tx, medium: str, canonical: str) -> Threepid | None:
    """The contact with an address, whosever it is."""
    return tx.row(_sql.get, Threepid, medium=medium, canonical=canonical)


def delete(tx: Tx, user_id: str, medium: str, canonical: str) -> bool:
    """Take the address from the account; False if the account does not own it."""
    return tx.run(_sql.delete, AT_MOST_ONE, user_id=user_id, medium=medium, canonical=canonical) == 1


def insert_binding(
    tx: Tx, *, user_id: str, medium: str, canonical: str, id_server: str, bound_at: int, here: bool
) -> None:
    """Remember that the account's address was published at `id_server`, which is our own with `here`."""
    tx.run(
        _sql.insert_binding,
        user_id=user_id,
        medium=medium,
        canonical=canonical,
        id_server=id_server,
        bound_at=bound_at,
        here_at=bound_at if here else None,
    )


def delete_binding(tx: Tx, *, user_id: str, medium: str, canonical: str, id_server: str, bound_until: int) -> bool:
    """Forget that the account's address was published at `id_server`; False if it was not, or later than `bound_until`."""
    return (
        tx.run(
            _sql.delete_binding,
            AT_MOST_ONE,
            user_id=user_id,
            medium=medium,
            canonical=canonical,
            id_server=id_server,
            bound_until=bound_until,
        )
        == 1
    )


def delete_bindings_of_user(tx: Tx, user_id: str) -> None:
    """Forget everything that the account has published."""
    tx.run(_sql.delete_bindings_of_user, ANY, user_id=user_id)


def bindings_of_user(tx: Tx, user_id: str) -> list[Binding]:
    """Everything that the account has published, oldest first."""
    return tx.rows(_sql.bindings_of_user, Binding, user_id=user_id)


def count_bindings(tx: Tx, user_id: str) -> int:
    """How much the account has published."""
    return int(tx.value(_sql.count_bindings, user_id=user_id))


def bindings(tx: Tx, user_id: str, medium: str, canonical: str) -> list[Binding]:
    """The identity servers at which the account's address was published, oldest first."""
    return tx.rows(_sql.bindings, Binding, user_id=user_id, medium=medium, canonical=canonical)
