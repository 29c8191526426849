"""What importers carry: accounts in the form in which this server keeps them, and findings about what is not carried."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

import msgspec
from msgspec import Struct

from threepid.storage.imports import State
from threepid.storage.threepids import Threepid


class Device(Struct, frozen=True):
    """A device of an account; times in milliseconds."""

    device_id: str
    display_name: str | None
    created_at: int
    seen_at: int | None
    seen_from: str | None
    user_agent: str | None


class RefreshToken(Struct, frozen=True):
    """A refresh token; `parent_hash` is the hash of the one for which it was issued, while that is still valid.

    `expires_at` is None if it does not expire at the other server: here it then gets the lifetime of a new one.
    """

    device_id: str
    token_hash: bytes
    parent_hash: bytes | None
    expires_at: int | None


class AccessToken(Struct, frozen=True):
    """An access token; `first_use_spends` is the hash of the refresh token that its first use spends."""

    device_id: str
    token_hash: bytes
    expires_at: int | None
    refresh_hash: bytes | None
    first_use_spends: bytes | None


class Account(Struct, frozen=True, kw_only=True):
    """An account of the other server, with what is carried of it; times in milliseconds."""

    user_id: str
    created_at: int
    password_hash: str | None = None
    deactivated: bool = False
    locked: bool = False
    admin: bool = False
    application_service: str | None = None
    """The application service that owns the user, and makes the user's devices; None for a person."""
    contacts: tuple[Threepid, ...] = ()
    devices: tuple[Device, ...] = ()
    refresh_tokens: tuple[RefreshToken, ...] = ()
    access_tokens: tuple[AccessToken, ...] = ()


class Kind(Enum):
    """A kind of finding: whether something is lost that an operator should look at, and what it is."""

    OTHER_SERVER = (True, "users of another server name")
    INVALID_USER = (True, "users with an invalid user ID")
    DAMAGED = (True, "rows with values of a wrong type")
    UNKNOWN_USER = (True, "rows of users that do not exist")
    ACCOUNT_EXISTS = (True, "users whose account was created here")
    CHANGED_HERE = (True, "accounts that changed here since they were imported: left as they are")
    UNKNOWN_PASSWORD = (True, "passwords with an unknown or unsafe hash")
    INVALID_CONTACT = (True, "contacts that are not valid addresses here")
    CONTACT_TAKEN = (True, "contacts that belong to another account")
    INVALID_DEVICE = (True, "devices with an invalid device ID")
    TOKEN_WITHOUT_DEVICE = (True, "tokens without a device, or of one that is not carried")
    WEAK_TOKEN = (True, "tokens that could be guessed")
    TOKEN_TAKEN = (True, "tokens that exist here already")
    NO_WAY_IN = (True, "accounts with neither password nor contact: only their sessions go on")
    BOUND_LATER = (True, "associations of addresses that another user has bound later")
    OTHER_SERVER_BOUND = (True, "associations that another identity server sent to that one (replication)")
    DIRECTORY = (True, "addresses that the other server copied from its directories: `--with-directory` brings them")
    INVALID_INVITE = (True, "invitations with an invalid room, sender or token")
    INVALID_KEY = (True, "keys of invitations that are no ed25519 keys")
    UNKNOWN_TERMS = (True, "accepted terms whose URL is in no document of [identity]")
    EARLIER_TERMS = (False, "accepted terms of an earlier version: people are asked again")
    EXPIRED_ASSOCIATION = (False, "expired associations")
    DELIVERED_INVITE = (False, "invitations that a homeserver was told of")
    SURPLUS_TOKEN = (False, "tokens of users who have more than this server keeps: the newest stay")
    VALIDATION = (False, "validation sessions, which end within a day: people ask for a new code")
    LOCKED = (False, "accounts that come locked")
    ADMIN = (False, "administrators, who may administer the homeserver by apps")
    GUEST = (False, "guests")
    PASSWORD_OFF = (False, "passwords, because the other server does not accept them")
    APPLICATION_SERVICE = (False, "sessions of users of application services")
    DEACTIVATED = (False, "devices, tokens and contacts of deactivated users")
    HIDDEN_DEVICE = (False, "hidden and dehydrated devices, which are no sessions")
    EXPIRED_TOKEN = (False, "expired tokens")
    SPENT_TOKEN = (False, "spent refresh tokens")
    PUPPET_TOKEN = (False, "tokens by which an administrator acts for a user")
    EXTERNAL_ID = (False, "accounts at other providers (single sign-on)")
    BINDING = (False, "addresses bound at identity servers: the homeserver keeps them")
    SHADOW_BANNED = (False, "shadow-banned users: the homeserver keeps that")
    SUSPENDED = (False, "suspended users: the homeserver keeps that")
    ERASED = (False, "erased users: the homeserver keeps that")

    def __init__(self, lost: bool, text: str) -> None:
        """`lost`: an operator should look at it."""
        self.lost = lost
        self.text = text


class Finding(Struct, frozen=True):
    """Something that is not carried as it is. It holds no secret."""

    kind: Kind
    user_id: str = ""
    detail: str = ""


PARTS: Final = ("accounts", "passwords", "contacts", "devices", "access_tokens", "refresh_tokens")
"""What is counted of accounts."""


def numbers_of(accounts: Iterable[Account]) -> Counter[str]:
    """How many of each of `PARTS` there are."""
    found: Counter[str] = Counter()
    for account in accounts:
        found["accounts"] += 1
        found["passwords"] += account.password_hash is not None
        found["contacts"] += len(account.contacts)
        found["devices"] += len(account.devices)
        found["access_tokens"] += len(account.access_tokens)
        found["refresh_tokens"] += len(account.refresh_tokens)
    return found


def theirs(account: Account) -> bytes:
    """A hash of what the other server has of the account.

    Without when and from where devices were last seen: that changes with every request, and says nothing that is lost.
    """
    devices = [(device.device_id, device.display_name) for device in account.devices]
    return _digest((msgspec.structs.replace(account, devices=()), devices))


def ours(state: State) -> bytes:
    """A hash of what there is of an account here. Tokens are not in it, because they expire by themselves."""
    return _digest(
        (
            state.password_hash,
            state.deactivated,
            state.locked,
            state.admin,
            sorted(map(msgspec.structs.astuple, state.contacts)),
            sorted(state.devices, key=lambda device: device[0]),
        )
    )


def state_of(account: Account) -> State:
    """What there is of an account here when it was just imported."""
    devices = [(device.device_id, device.display_name) for device in account.devices]
    return State(
        account.password_hash, account.deactivated, account.locked, account.admin, list(account.contacts), devices
    )


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(value), digest_size=16).digest()
