"""`[identity]`: its settings, and what cannot be safe about them."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, field

from threepid.config.problem import Problem, is_server_name, is_web_url, network_problems
from threepid.config.section import Section
from threepid.config.sections.terms import TermsDocument


class IdentityV1(Section, frozen=True):
    """`[identity] v1`: the four parts of the old Identity API."""

    public_keys: bool = True
    """`pubkey/*`: old invitations point there."""
    validate: bool = False
    """`validate/*` and `3pid/getValidated3pid` without a token."""
    lookup: bool = False
    """`lookup` and `bulk_lookup` in the clear."""
    bind: bool = False
    """`3pid/bind`, `store-invite` and `sign-ed25519` without a token, for any user ID; `3pid/unbind`."""
    validate_from: tuple[str, ...] = ()
    """Networks of the homeservers that may call `validate`, each for any number of people; empty = any."""


class Identity(Section, frozen=True):
    """`[identity]`: the identity server. Absent = off."""

    name: str = ""
    """What clients give as `id_server`; default: host (and port) of `public_base_url`."""
    lookup_algorithms: tuple[Literal["sha256", "none"], ...] = ("sha256",)
    """Algorithms of `POST /lookup`."""
    lookup_limit: Annotated[int, Meta(ge=1, le=100_000)] = 5_000
    """Addresses that one lookup may ask for."""
    lookup_budget_per_day: Annotated[int, Meta(ge=0, le=200_000)] = 20_000
    """Distinct addresses that one user may look up on a day (UTC); 0 = any number."""
    lookup_budget_of_network_per_day: Annotated[int, Meta(ge=0, le=100_000_000)] = 60_000
    """The same for all users of one IPv4 address or IPv6 /64 together, four times it for a /56 and sixteen times for a /48."""
    pepper_days: Annotated[int, Meta(ge=0, le=3_650)] = 30
    """Days after which the pepper of lookups is replaced; 0 = only by `threepid pepper rotate`."""
    pepper_overlap_hours: Annotated[int, Meta(ge=1, le=8_760)] = 24
    """How long lookups with the pepper before are still answered."""
    get_submits: bool = True
    """Serve the specification's `GET submitToken`, which validates at once. We never mail such a link."""
    homeservers_allowed: tuple[str, ...] = ()
    """Homeservers whose users may register here; empty = any."""
    token_days: Annotated[int, Meta(ge=0, le=3_650)] = 365
    """Days after which an access token of the identity server ends, and clients get a new one; 0 = never."""
    terms: tuple[TermsDocument, ...] = ()
    """Documents that users must accept, like those of `accounts.terms`; a new version must be accepted anew."""
    invite_days: Annotated[int, Meta(ge=1, le=3_650)] = 90
    """How long an invitation waits for somebody to publish its address."""
    invite_url: str = ""
    """The web client that invitations by mail lead to, e.g. `https://app.example.org`; empty = they say what to do instead."""
    v1: IdentityV1 = field(default_factory=IdentityV1)
    """The switches of the old API."""


def problems(identity: Identity) -> Iterator[Problem]:
    """What cannot be safe in `[identity]`."""
    if identity.name and not is_server_name(identity.name):
        yield Problem("[identity] name", f"{identity.name!r} is not the name of a server")
    yield from network_problems("[identity] v1.validate_from", identity.v1.validate_from)
    url = identity.invite_url
    if url and (not is_web_url(url) or {*url} & {"?", "#"}):
        yield Problem(
            "[identity] invite_url", "is not an https URL without ? and #: links in invitations start with it"
        )
