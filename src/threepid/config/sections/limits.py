"""`[limits]`: its settings, and what cannot be safe about them."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from threepid.config.problem import Problem
from threepid.config.section import Section


class Limit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`burst` at once, then `per_hour`."""

    noun: ClassVar[str] = "limit"

    burst: Annotated[int, Meta(ge=1, le=1_000_000)]
    per_hour: Annotated[float, Meta(gt=0, le=1_000_000)]


class Limits(Section, frozen=True):
    """`[limits]`: how much is too much, over all processes; each as `{ burst = 3, per_hour = 1 }`.

    A caller is an IPv4 address or an IPv6 network of 64 bits. The IPv6 network of 56 bits around it has four times its limit
    and the one of 48 bits sixteen times; callers with a token and networks that the account has used do not count there.
    """

    all: Literal["on", "off"] = "on"
    """`off` is for tests and refused where others can reach the server."""
    message_to_address: Limit = Limit(burst=3, per_hour=1)
    """Messages to one address, over all purposes and spellings; the last of a burst is kept for callers its account knows."""
    message_from_client: Limit = Limit(burst=10, per_hour=20)
    """Messages that one caller causes; a request that is rejected counts as one, too."""
    message_total: Limit = Limit(burst=1000, per_hour=5000)
    """Messages of the whole server: at most a tenth by one IPv4 address or IPv6 network of 48 bits, a quarter invitations."""
    notice_to_address: Limit = Limit(burst=10, per_hour=2)
    """Notices to one contact of what happened to its account; more are left out."""
    sms_to_prefix: Limit = Limit(burst=30, per_hour=5)
    """Texts to numbers that begin with the same seven digits."""
    sms_to_country: Limit = Limit(burst=500, per_hour=50)
    """SMS to the numbers of one country, at most a tenth by one IPv4 address or IPv6 network of 48 bits."""
    sms_total: Limit = Limit(burst=1000, per_hour=100)
    """SMS of the whole server, at most a tenth by one IPv4 address or IPv6 network of 48 bits."""
    guesses_from_client: Limit = Limit(burst=30, per_hour=120)
    """Wrong passwords and tokens of one caller."""
    guesses_at_account_from_client: Limit = Limit(burst=10, per_hour=60)
    """Wrong passwords for one name or address by one caller."""
    guesses_at_account: Limit = Limit(burst=100, per_hour=200)
    """Wrong passwords for one account by callers that it does not know, over all its names and addresses."""
    invites_from_sender: Limit = Limit(burst=20, per_hour=10)
    """Invitations to addresses that one user sends."""
    invites_to_address: Limit = Limit(burst=3, per_hour=0.5)
    """Invitations to one address, over all senders."""
    invites_from_homeserver: Limit = Limit(burst=200, per_hour=100)
    """Invitations to addresses that all users of homeservers below one registrable domain send."""
    invites_from_network: Limit = Limit(burst=200, per_hour=500)
    """Invitations with a token from one caller: a homeserver sends those of all its users."""
    invite_signatures_from_caller: Limit = Limit(burst=20, per_hour=60)
    """Invitations that one user, or one caller of the old API, wants to have signed."""
    registration_from_client: Limit = Limit(burst=10, per_hour=20)
    """Accounts that one caller opens."""
    authentication_from_client: Limit = Limit(burst=300, per_hour=3000)
    """User-Interactive Authentication sessions that one caller begins."""
    outbound_from_account: Limit = Limit(burst=30, per_hour=60)
    """Times that one account has another identity server asked or told something."""
    outbound_from_client: Limit = Limit(burst=50, per_hour=200)
    """Times that one caller has homeservers asked whose token something is, or for their keys."""
    outbound_to_server: Limit = Limit(burst=500, per_hour=5000)
    """Times that all callers together have one homeserver asked so; at most a tenth by one IPv4 address or IPv6 /48."""
    openid_tokens_of_account: Limit = Limit(burst=50, per_hour=200)
    """OpenID tokens that one account requests; the newest 50 are good."""
    identity_tokens_of_user: Limit = Limit(burst=50, per_hour=200)
    """Access tokens of the identity server that one user requests; the newest 50 are good."""


def problems(limits: Limits, *, public: bool) -> Iterator[Problem]:
    """What cannot be safe in `[limits]`; `public` is whether programs on other machines reach the server."""
    if limits.all == "off" and public:
        yield Problem("[limits] all", "anybody could have any number of mails sent to anybody: leave it on")
