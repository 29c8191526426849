"""What is carried from an identity server, in the form in which this server keeps it; times in milliseconds."""

import hashlib
from typing import Final

from msgspec import Struct

from threepid.importers.records import Finding

PARTS: Final = ("associations", "unbound", "tokens", "invitations", "invitation_keys", "accepted_terms", "signing_keys")
"""What is counted of an identity server."""


class Binding(Struct, frozen=True, gc=False):
    """A bound address and its user ID. `spelling` is how the other server has the address, '' if that is the canonical form."""

    medium: str
    canonical: str
    mxid: str
    bound_at: int
    not_before: int
    not_after: int
    spelling: str = ""


class Unbinding(Struct, frozen=True, gc=False):
    """An address that was unbound, whoever had it."""

    medium: str
    canonical: str
    unbound_at: int


class Token(Struct, frozen=True, gc=False):
    """An access token of the identity server."""

    user_id: str
    token_hash: bytes
    created_at: int


class Invitation(Struct, frozen=True, gc=False):
    """An invitation that waits until its address is bound. `public_key` is '' if it is not known which key is its own."""

    token: str
    medium: str
    canonical: str
    room_id: str
    sender: str
    public_key: str
    created_at: int


class InvitationKey(Struct, frozen=True, gc=False):
    """The public half of a key of an invitation, as unpadded base64."""

    public_key: str
    created_at: int


class Acceptance(Struct, frozen=True, gc=False):
    """A document that a user accepted."""

    user_id: str
    document: str
    version: str
    accepted_at: int


Row = Token | Invitation | InvitationKey | Acceptance
"""What has no log at the other server: a later run passes over what an earlier one brought."""


class Batch(Struct, frozen=True):
    """Some rows of one table: how many they were, what is carried of them, and what is not.

    `log` are rows of the log up to the number `position`; without a position they are marked as all other rows.
    """

    rows: int
    log: list[Binding | Unbinding]
    others: list[Row]
    findings: list[Finding]
    position: int | None = None


def part_of(record: Binding | Unbinding | Row) -> str:
    """The name in `PARTS`."""
    return _PART_OF[type(record)]


def mark_of(row: Binding | Unbinding | Row) -> str:
    """A hash by which a later run knows the row."""
    match row:
        case Binding():
            text = f"{row.medium} {row.canonical} {row.mxid}"
        case Unbinding():
            text = f"{row.medium} {row.canonical} {row.unbound_at}"
        case Token():
            text = row.token_hash.hex()
        case Invitation():
            text = row.token
        case InvitationKey():
            text = row.public_key
        case Acceptance():
            text = f"{row.user_id} {row.document} {row.version}"
    whole = f"{part_of(row)} {text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(whole, digest_size=12).hexdigest()


_PART_OF: Final[dict[type[Struct], str]] = {
    Binding: "associations",
    Unbinding: "unbound",
    Token: "tokens",
    Invitation: "invitations",
    InvitationKey: "invitation_keys",
    Acceptance: "accepted_terms",
}
