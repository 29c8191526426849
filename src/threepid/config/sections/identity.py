"""`[identity]`: its settings, and the rules that reject unsafe values."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, field

from threepid.config.problem import Problem, is_server_name, is_web_url, network_problems
from threepid.config.section import Section
from threepid.config.sections.terms import TermsDocument


class IdentityV1(Section, frozen=True):
    """`[identity.v1]`: the four parts of the Identity Service API v1, which the specification has removed."""

    public_keys: bool = True
    """Whether to serve `pubkey/*`, which old invitations link to."""
    validate: bool = False
    """Whether to serve `validate/*` and `3pid/getValidated3pid` without a token."""
    lookup: bool = False
    """Whether to serve `lookup` and `bulk_lookup`, which send addresses unhashed."""
    bind: bool = False
    """Whether to serve `3pid/bind`, `store-invite` and `sign-ed25519` without a token, for any user ID, and `3pid/unbind`."""
    validate_from: tuple[str, ...] = ()
    """Networks of the homeservers that may call `validate/*`, each for any number of people; empty = any caller."""


class Identity(Section, frozen=True):
    """`[identity]`: the identity server. Absent = off."""

    name: str = ""
    """Name that clients send as `id_server`; empty = host (and port) of `public_base_url`."""
    lookup_algorithms: tuple[Literal["sha256", "none"], ...] = ("sha256",)
    """Algorithms that `POST /lookup` accepts."""
    lookup_limit: Annotated[int, Meta(ge=1, le=100_000)] = 5_000
    """Maximum number of addresses in one lookup."""
    lookup_budget_per_day: Annotated[int, Meta(ge=0, le=200_000)] = 20_000
    """Maximum number of distinct addresses that one user may look up in a day (UTC); 0 = no limit."""
    lookup_budget_of_network_per_day: Annotated[int, Meta(ge=0, le=100_000_000)] = 60_000
    """The same for all users at one IPv4 address or IPv6 /64; a /56 may look up four times as many, a /48 sixteen times."""
    pepper_days: Annotated[int, Meta(ge=0, le=3_650)] = 30
    """Days between rotations of the lookup pepper; 0 = rotate only with `threepid pepper rotate`."""
    pepper_overlap_hours: Annotated[int, Meta(ge=1, le=8_760)] = 24
    """Overlap, in hours, during which lookups with the previous pepper still work."""
    get_submits: bool = True
    """Whether to serve `GET submitToken`, which validates at once. Our own mails never link to it."""
    homeservers_allowed: tuple[str, ...] = ()
    """Homeservers whose users may register at the identity server; empty = any."""
    token_days: Annotated[int, Meta(ge=0, le=3_650)] = 365
    """Lifetime, in days, of an identity server's access token; clients then get a new one; 0 = no expiry."""
    terms: tuple[TermsDocument, ...] = ()
    """Documents that users must accept, as in `accounts.terms`; users must accept each new version; empty = none."""
    invite_days: Annotated[int, Meta(ge=1, le=3_650)] = 90
    """Days that an invitation waits for its address to be bound."""
    invite_url: str = ""
    """Web client that mailed invitations link to, e.g. `https://app.example.org`; empty = no link, but instructions."""
    v1: IdentityV1 = field(default_factory=IdentityV1)
    """Switches of the Identity Service API v1."""


def problems(identity: Identity) -> Iterator[Problem]:
    """Yield the unsafe values in `[identity]`."""
    if identity.name and not is_server_name(identity.name):
        yield Problem("[identity] name", f"{identity.name!r} is not the name of a server")
    yield from network_problems("[identity] v1.validate_from", identity.v1.validate_from)
    url = identity.invite_url
    if url and (not is_web_url(url) or {*url} & {"?", "#"}):
        yield Problem(
            "[identity] invite_url", "is not an https URL without ? and #: links in invitations start with it"
        )
