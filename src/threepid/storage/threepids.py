"""Contacts of accounts, and the identity servers at which they were bound."""

from typing import Final

import msgspec
from msgspec import Struct

from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries

_sql = Queries("threepids")


class Threepid(Struct, frozen=True, array_like=True):
    """A contact. `canonical` is the form for comparisons, `address` the verified spelling; times in milliseconds."""

    medium: str
    canonical: str
    address: str
    validated_at: int
    added_at: int


class Holder(Struct, frozen=True):
    """The account that owns an address, and the verified spelling."""

    user_id: str
    address: str


class _Held(Struct, frozen=True):
    user_id: str | None
    address: str | None
    language: str | None


decode: Final = msgspec.json.Decoder(list[Threepid]).decode
"""The contacts of an account, from the JSON of a query."""


class Binding(Struct, frozen=True):
    """An address, the identity server at which it was bound, and when."""

    medium: str
    canonical: str
    id_server: str
    bound_at: int
    here_at: int | None
    """When it was bound, if that server was our own, whatever its name was then; None for another server."""


def insert(tx: Tx, user_id: str, threepid: Threepid) -> bool:
    """Add the address to the account; False if the address has an owner already."""
    return tx.run(_sql.insert, AT_MOST_ONE, **_parameters(user_id, threepid)) == 1


def insert_within(tx: Tx, user_id: str, threepid: Threepid, *, most: int) -> bool:
    """Add the address to the account; False if the address has an owner already, or the account has `most` contacts.

    The caller has locked the account.
    """
    return tx.run(_sql.insert_within, AT_MOST_ONE, **_parameters(user_id, threepid), most=most) == 1


def _parameters(user_id: str, threepid: Threepid) -> dict[str, str | int]:
    return {
        "user_id": user_id,
        "medium": threepid.medium,
        "canonical": threepid.canonical,
        "address": threepid.address,
        "validated_at": threepid.validated_at,
        "added_at": threepid.added_at,
    }


def refresh(tx: Tx, user_id: str, threepid: Threepid) -> bool:
    """Record that the owner has proven the address again; False if the account does not own it."""
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
    return decode(tx.value(_sql.of_user, user_id=user_id))


def count_of_user(tx: Tx, user_id: str) -> int:
    """Number of contacts of an account."""
    return int(tx.value(_sql.count_of_user, user_id=user_id))


def owner(tx: Tx, medium: str, canonical: str) -> str | None:
    """The account that owns an address."""
    user_id: str | None = tx.value(_sql.owner, medium=medium, canonical=canonical)
    return user_id


def holder_and_language(tx: Tx, medium: str, canonical: str, asker: str) -> tuple[Holder | None, str]:
    """The owner of an address and the verified spelling; and the language that the owner, else the account `asker`, has chosen.

    One query, whether an account has the address or not: its time does not tell.
    """
    row = tx.row(_sql.holder, _Held, medium=medium, canonical=canonical, asker=asker) or _Held(None, None, None)
    known = None if row.user_id is None or row.address is None else Holder(row.user_id, row.address)
    return known, row.language or ""


def get(tx: Tx, medium: str, canonical: str) -> Threepid | None:
    """The contact with an address, whichever account owns it."""
    return tx.row(_sql.get, Threepid, medium=medium, canonical=canonical)


def delete(tx: Tx, user_id: str, medium: str, canonical: str) -> bool:
    """Remove the address from the account; False if the account does not own it."""
    return tx.run(_sql.delete, AT_MOST_ONE, user_id=user_id, medium=medium, canonical=canonical) == 1


def insert_binding(
    tx: Tx, *, user_id: str, medium: str, canonical: str, id_server: str, bound_at: int, here: bool
) -> None:
    """Record that the account's address was bound at `id_server`, which is our own with `here`."""
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
    """Delete the record that the address was bound at `id_server`; False if there is none, or one after `bound_until`."""
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
    """Delete the records of all addresses that the account has bound."""
    tx.run(_sql.delete_bindings_of_user, ANY, user_id=user_id)


def bindings_of_user(tx: Tx, user_id: str) -> list[Binding]:
    """The addresses that the account has bound, oldest first."""
    return tx.rows(_sql.bindings_of_user, Binding, user_id=user_id)


def count_bindings(tx: Tx, user_id: str) -> int:
    """Number of addresses that the account has bound, counted for each identity server."""
    return int(tx.value(_sql.count_bindings, user_id=user_id))


def bindings(tx: Tx, user_id: str, medium: str, canonical: str) -> list[Binding]:
    """The identity servers at which the account's address was bound, oldest first."""
    return tx.rows(_sql.bindings, Binding, user_id=user_id, medium=medium, canonical=canonical)
