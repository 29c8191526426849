"""What is imported from other identity servers: associations, tokens, invitations, short-lived keys and accepted terms."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from threepid.storage import associations, peppers
from threepid.storage.associations import Association
from threepid.storage.engine.database import ANY, AT_MOST_ONE, Tx
from threepid.storage.engine.queries import Queries
from threepid.storage.peppers import Hashed

_sql = Queries("identity_imports")

Spelling = tuple[str, str, str]
"""Medium, canonical form and another spelling of an address."""


class Token(Struct, frozen=True):
    """An access token of the identity server; times in milliseconds."""

    token_hash: bytes
    user_id: str
    created_at: int
    expires_at: int | None


class Invite(Struct, frozen=True):
    """An invitation that waits; times in milliseconds. `public_key` is '' if it is not known which key is its own."""

    invite_id: str
    token: str
    medium: str
    canonical: str
    room_id: str
    sender: str
    public_key: str
    created_at: int
    expires_at: int


class Key(Struct, frozen=True):
    """A short-lived key; times in milliseconds."""

    public_key: str
    created_at: int
    expires_at: int


class Acceptance(Struct, frozen=True):
    """A version of a document that a user accepted; the time is in milliseconds."""

    user_id: str
    document: str
    version: str
    accepted_at: int


class _UserId(Struct, frozen=True):
    user_id: str


class _Mark(Struct, frozen=True):
    mark: str


def is_used(tx: Tx) -> bool:
    """Is there anything that this server has signed for somebody, or may have signed?"""
    return tx.value(_sql.is_used) is not None


def bound(tx: Tx, addresses: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Association]:
    """The associations of these addresses, given by medium and canonical form; nobody changes them until the transaction ends."""
    rows = tx.rows(_sql.bound, Association, addresses=_json(addresses))
    return {(row.medium, row.canonical): row for row in rows}


def bind(tx: Tx, new: Sequence[Association], again: Sequence[Association], spellings: Iterable[Spelling]) -> None:
    """Store associations: of `new` addresses, which nobody has bound yet, and of those to bind `again`.

    `spellings` are other spellings of these addresses.
    """
    rows = sorted(msgspec.structs.astuple(one) for one in (*new, *again))
    if not rows:
        return
    held = peppers.hold(tx)
    tx.run(_sql.bind, range(len(rows), len(rows) + 1), rows=_json(rows))
    given = list(spellings)
    peppers.add_spellings(tx, given)
    hashed = {(one.medium, one.canonical): _hashed(one) for one in new}
    texts = [(one.canonical, one) for one in hashed.values()]
    texts += [(text, hashed[medium, canonical]) for medium, canonical, text in given if (medium, canonical) in hashed]
    peppers.write_many(tx, held, texts)
    for one in again:
        peppers.write_hashes(tx, held, _hashed(one))


def unbind(tx: Tx, association: Association) -> None:
    """Delete an association."""
    associations.unbind(tx, association.medium, association.canonical, association.mxid)


def deactivated(tx: Tx, user_ids: Iterable[str]) -> set[str]:
    """Those of these users whose account here is deactivated."""
    return {row.user_id for row in tx.rows(_sql.deactivated, _UserId, user_ids=_json(user_ids))}


def known(tx: Tx, source: str, marks: Iterable[str]) -> set[str]:
    """Those of these marks whose rows were imported before."""
    return {row.mark for row in tx.rows(_sql.known, _Mark, source=source, marks=_json(marks))}


def record(tx: Tx, source: str, marks: Iterable[str]) -> None:
    """Record that the rows with these marks were imported."""
    tx.run_many(_sql.record, [{"source": source, "mark": mark} for mark in marks], AT_MOST_ONE)


def count_recorded(tx: Tx, source: str) -> int:
    """Number of rows that were imported from a source."""
    return int(tx.value(_sql.count_recorded, source=source))


def insert_tokens(tx: Tx, tokens: Sequence[Token]) -> int:
    """Insert hashes of tokens, oldest first, and return how many: those that exist already are left out."""
    return tx.run_many(_sql.insert_token, _parameters(tokens), AT_MOST_ONE)


def delete_surplus_tokens(tx: Tx, user_ids: Iterable[str], *, at_most: int) -> int:
    """Delete all but the newest tokens of each of these users; returns how many."""
    return tx.run(_sql.delete_surplus_tokens, ANY, user_ids=_json(user_ids), at_most=at_most)


def insert_invites(tx: Tx, found: Sequence[Invite]) -> int:
    """Insert invitations, and return how many: those whose token exists already are left out."""
    return tx.run_many(_sql.insert_invite, _parameters(found), AT_MOST_ONE)


def insert_keys(tx: Tx, found: Sequence[Key]) -> int:
    """Insert short-lived keys, and return how many: those that exist already are left out."""
    return tx.run_many(_sql.insert_key, _parameters(found), AT_MOST_ONE)


def accept_terms(tx: Tx, found: Sequence[Acceptance]) -> int:
    """Record accepted documents, and return how many are new."""
    return tx.run_many(_sql.accept_terms, _parameters(found), AT_MOST_ONE)


def _hashed(one: Association) -> Hashed:
    return Hashed(one.medium, one.canonical, one.mxid, one.not_after)


def _parameters(structs: Sequence[Struct]) -> list[Mapping[str, Any]]:
    return [msgspec.structs.asdict(each) for each in structs]


def _json(values: Iterable[Any]) -> str:
    return msgspec.json.encode(list(values)).decode("utf-8")
