"""`[limits]`: its settings, and the rules that reject unsafe values."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from threepid.config.problem import Problem
from threepid.config.section import Section


class Limit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A limit: `burst` events at once, then `per_hour`."""

    noun: ClassVar[str] = "limit"

    burst: Annotated[int, Meta(ge=1, le=1_000_000)]
    per_hour: Annotated[float, Meta(gt=0, le=1_000_000)]


class Limits(Section, frozen=True):
    """`[limits]`: rate limits, counted over all processes, each as `{ burst = 3, per_hour = 1 }`: 3 at once, then 1 an hour.

    A client address is an IPv4 address or an IPv6 /64. Its IPv6 /56 has four times the limit and its /48 sixteen times; requests
    with a token, and from networks that the account has used, do not count towards these two.
    """

    all: Literal["on", "off"] = "on"
    """Switch for all limits; `off` is for tests, and rejected if other machines can reach the server."""
    message_to_address: Limit = Limit(burst=3, per_hour=1)
    """Limit on messages to one address, for all purposes and spellings; the last of a burst is for callers its account knows."""
    message_from_client: Limit = Limit(burst=10, per_hour=20)
    """Limit on messages requested from one client address; a rejected request counts, too."""
    message_total: Limit = Limit(burst=1000, per_hour=5000)
    """Limit on all messages: one IPv4 address or IPv6 /48 may use a tenth of it, invitations a quarter."""
    notice_to_address: Limit = Limit(burst=10, per_hour=2)
    """Limit on notices to one contact about changes to its account; further notices are dropped."""
    sms_to_prefix: Limit = Limit(burst=30, per_hour=5)
    """Limit on SMS to numbers that begin with the same seven digits."""
    sms_to_country: Limit = Limit(burst=500, per_hour=50)
    """Limit on SMS to the numbers of one country; one IPv4 address or IPv6 /48 may use a tenth of it."""
    sms_total: Limit = Limit(burst=1000, per_hour=100)
    """Limit on all SMS; one IPv4 address or IPv6 /48 may use a tenth of it."""
    guesses_from_client: Limit = Limit(burst=30, per_hour=120)
    """Limit on wrong passwords and tokens from one client address."""
    guesses_at_account_from_client: Limit = Limit(burst=10, per_hour=60)
    """Limit on wrong passwords for one username or contact from one client address."""
    guesses_at_account: Limit = Limit(burst=100, per_hour=200)
    """Limit on wrong passwords for one account, by username or contact, from callers that it does not know."""
    invites_from_sender: Limit = Limit(burst=20, per_hour=10)
    """Limit on invitations to addresses by one user."""
    invites_to_address: Limit = Limit(burst=3, per_hour=0.5)
    """Limit on invitations to one address by all senders."""
    invites_from_homeserver: Limit = Limit(burst=200, per_hour=100)
    """Limit on invitations to addresses by all users of homeservers below one registrable domain."""
    invites_from_network: Limit = Limit(burst=200, per_hour=500)
    """Limit on invitations with a token from one client address: a homeserver sends those of all its users."""
    invite_signatures_from_caller: Limit = Limit(burst=20, per_hour=60)
    """Limit on invitation signatures requested by one user, or by one caller of the Identity Service API v1."""
    bounces_from_client: Limit = Limit(burst=1000, per_hour=10000)
    """Limit on reports about mails from one client address over HTTP."""
    registration_from_client: Limit = Limit(burst=10, per_hour=20)
    """Limit on registrations from one client address."""
    authentication_from_client: Limit = Limit(burst=300, per_hour=3000)
    """Limit on new User-Interactive Authentication sessions from one client address."""
    oauth_from_client: Limit = Limit(burst=20, per_hour=60)
    """Limit on new OAuth 2.0 apps, and on devices that ask for a code, from one client address."""
    outbound_from_account: Limit = Limit(burst=30, per_hour=60)
    """Limit on requests to other identity servers for one account."""
    outbound_from_client: Limit = Limit(burst=50, per_hour=200)
    """Limit on requests to homeservers (to check OpenID tokens and fetch keys) caused by one client address."""
    outbound_to_server: Limit = Limit(burst=500, per_hour=5000)
    """Limit on such requests to one homeserver by all callers; one IPv4 address or IPv6 /48 may use a tenth of it."""
    openid_tokens_of_account: Limit = Limit(burst=50, per_hour=200)
    """Limit on new OpenID tokens for one account; the newest 50 are valid."""
    identity_tokens_of_user: Limit = Limit(burst=50, per_hour=200)
    """Limit on new identity server access tokens for one user; the newest 50 are valid."""


def problems(limits: Limits, *, public: bool) -> Iterator[Problem]:
    """Yield the unsafe values in `[limits]`; `public` is whether other machines can reach the server."""
    if limits.all == "off" and public:
        yield Problem("[limits] all", "anybody could send any number of mails to anybody: leave it on")
