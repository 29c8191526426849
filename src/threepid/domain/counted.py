"""The limits that count for an account, an address or a network, so that operators can see them and fill them again."""

from collections.abc import Iterable
from ipaddress import ip_network

from msgspec import Struct

from threepid.domain.context import Context
from threepid.domain.networks import networks_of, site_of
from threepid.domain.uses import Counted, as_wanted
from threepid.storage import limits
from threepid.storage.engine.database import Tx

__all__ = ["Counted", "UsedUp", "clear", "client_of", "of_account", "of_address", "of_guesses", "of_network", "used_up"]


class UsedUp(Struct, frozen=True):
    """A limit that rejects requests until `until`, in milliseconds since the Unix epoch."""

    limit: str
    until: int


def of_account(context: Context, user_id: str) -> list[Counted]:
    """The limits that count for the account alone."""
    settings = context.config.limits
    return [
        Counted(f"guess at {user_id}", settings.guesses_at_account),
        Counted(f"guess by the devices of {user_id} lately", settings.guesses_at_account_from_client),
        Counted(f"guess by the devices of {user_id}", settings.guesses_at_account),
        Counted(f"authentication by the devices of {user_id}", settings.authentication_from_client),
        Counted(f"OpenID token of {user_id}", settings.openid_tokens_of_account),
        Counted(f"identity token of {user_id}", settings.identity_tokens_of_user),
        Counted(f"outbound of {user_id}", settings.outbound_from_account),
        Counted(f"invite from {user_id}", settings.invites_from_sender),
        Counted(f"signature for {user_id}", settings.invite_signatures_from_caller),
    ]


def of_address(context: Context, medium: str, canonical: str) -> list[Counted]:
    """The limits that count messages to an address."""
    settings = context.config.limits
    return [
        Counted(f"message to {medium} {canonical}", settings.message_to_address),
        Counted(f"notice to {medium} {canonical}", settings.notice_to_address),
        Counted(f"invite to {medium} {canonical}", settings.invites_to_address),
    ]


def of_network(context: Context, client: str) -> list[Counted]:
    """The limits of all callers at an IP address and in the networks around it."""
    settings = context.config.limits
    kinds = {
        "guess": settings.guesses_from_client,
        "message": settings.message_from_client,
        "registration": settings.registration_from_client,
        "authentication": settings.authentication_from_client,
        "outbound": settings.outbound_from_client,
        "invite": settings.invites_from_network,
        "signature": settings.invite_signatures_from_caller,
        "bounce": settings.bounces_from_client,
        "app": settings.oauth_from_client,
        "device code": settings.oauth_from_client,
    }
    networks = [network for network, _ in networks_of(client)]
    site = site_of(client)
    messages = [f"{what} by {who} in {site}" for what in ("message", "sms") for who in ("known callers", "strangers")]
    return [
        *(Counted(f"{what} from {network}", limit) for network in networks for what, limit in kinds.items()),
        *(Counted(name, settings.message_total) for name in messages),
    ]


def of_guesses(context: Context, user_id: str, typed: Iterable[str], client: str) -> list[Counted]:
    """The limits of wrong passwords for an account, by any of the names `typed`, from an IP address."""
    limit = context.config.limits.guesses_at_account_from_client
    names = [user_id, *typed]
    return [
        *(Counted(f"guess from {network} at {name}", limit) for network, _ in networks_of(client) for name in names),
        Counted(f"guess from {site_of(client)} at the account {user_id}", limit),
    ]


def used_up(tx: Tx, context: Context, counted: Iterable[Counted]) -> list[UsedUp]:
    """The limits of `counted` that reject the next request, in the given order."""
    now = context.clock.now()
    pairs = [(one.name, wanted) for one in counted for wanted in as_wanted(context, [one])]
    full_at = limits.full_at(tx, [wanted for _, wanted in pairs], now=now) if pairs else {}
    left = [(name, full_at[wanted.key] - wanted.latest(now)) for name, wanted in pairs]
    return [UsedUp(name, now + wait) for name, wait in left if wait > 0]


def clear(tx: Tx, context: Context, counted: Iterable[Counted]) -> int:
    """Fill the limits again; returns how many were not full."""
    return limits.clear(tx, {context.vault.hash_limit_key(one.name) for one in counted})


def client_of(network: str) -> str:
    """An IP address in `network`, which is an address or a network. Raises ValueError."""
    return str(ip_network(network, strict=False).network_address)
