"""Accounts of this server, and which of them a client's identifier means.

https://spec.matrix.org/latest/client-server-api/#identifier-types
"""

import re
from collections.abc import Container
from typing import Final

from msgspec import UNSET, Struct

from threepid import config
from threepid.domain import audit
from threepid.domain.addresses import Email, InvalidAddress, Phone, parse_address, trim
from threepid.domain.context import Context
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, UnknownIdentifierType, UserLocked
from threepid.spec.uia import Identifier
from threepid.storage import accounts
from threepid.storage.accounts import Account, AccountSummary
from threepid.storage.engine.database import Tx

_LOOKS_LIKE_PHONE: Final = re.compile(r"[+\uff0b]?[\d\s().\u2010-\u2015/-]{5,40}")


class Named(Struct, frozen=True):
    """The account that a caller names, if it exists. `name` is what the caller typed, in its canonical form, for limits."""

    account: Account | None
    name: str


class Accounts:
    """The accounts of this server."""

    def __init__(self, context: Context, settings: config.Accounts) -> None:
        """`settings.login_with` says what identifies an account at login."""
        self._context = context
        self._ways = settings.login_with

    async def find(
        self,
        identifier: Identifier | object = UNSET,
        *,
        user: str | object = UNSET,
        medium: str | object = UNSET,
        address: str | object = UNSET,
        ways: Container[str] | None = None,
    ) -> Named:
        """The account for an identifier, or for the older members `user`, or `medium` and `address`.

        `ways` are the accepted kinds of identifiers, by default those of `login_with`. Raises UnknownIdentifierType.
        https://spec.matrix.org/latest/client-server-api/#identifier-types
        """
        taken = self._ways if ways is None else ways
        if isinstance(identifier, Identifier):
            if identifier.type == "m.id.user":
                return await self._by_name(identifier.user, taken)
            if identifier.type == "m.id.thirdparty":
                return await self._by_threepid(identifier.medium, identifier.address, taken)
            if identifier.type == "m.id.phone":
                number = identifier.number if identifier.phone is UNSET else identifier.phone
                return await self._by_threepid("msisdn", number, taken, identifier.country)
            raise UnknownIdentifierType
        if user is not UNSET:
            return await self._by_name(user, taken)
        return await self._by_threepid(medium, address, taken)

    async def find_typed(self, text: str, *, country: str | None = None) -> Named:
        """The account that a person names in one field: by username, user ID, email address or phone number.

        A phone number without its calling code is one of `country`. Only the text decides which of these it is, never what
        exists. A username that looks like a phone number is named by its user ID.
        """
        text = trim(text)
        if "@" in text[1:] and not text.startswith("@"):
            return await self._by_threepid(Email.medium, text, self._ways)
        if Phone.medium in self._ways and _LOOKS_LIKE_PHONE.fullmatch(text):
            named = await self._by_threepid(Phone.medium, text, self._ways, country or UNSET)
            if named.name:
                return named
        return await self._by_name(text, self._ways)

    async def get(self, user_id: str) -> Account | None:
        """The account with this user ID, or None."""
        return await self._context.database.read(lambda tx: accounts.get(tx, user_id))

    async def list_after(self, user_id: str, count: int) -> list[AccountSummary]:
        """The next `count` accounts after `user_id` in alphabetical order."""
        return await self._context.database.read(lambda tx: accounts.after(tx, user_id, count))

    async def _by_name(self, user: str | object, ways: Container[str]) -> Named:
        if not isinstance(user, str):
            return Named(None, "")
        # User IDs are copied from mails, which have a mark of the direction before them in some languages.
        user = trim(user)
        localpart, colon, server_name = user.removeprefix("@").partition(":")
        if not colon or not user.startswith("@"):
            localpart, colon, server_name = user.removeprefix("@"), ":", self._context.server_name
        usual = f"@{in_small_letters(localpart)}{colon}{server_name}"
        if "user" not in ways:
            return Named(None, usual)

        def step(tx: Tx) -> Account | None:
            # Accounts that were imported from another server may have capital letters.
            typed = f"@{localpart}{colon}{server_name}"
            exact = accounts.get(tx, typed)
            return accounts.get(tx, usual) if exact is None and typed != usual else exact

        return Named(await self._context.database.read(step), usual)

    async def _by_threepid(
        self, medium: str | object, address: str | object, ways: Container[str], country: str | object = UNSET
    ) -> Named:
        if not isinstance(medium, str) or not isinstance(address, str) or medium not in ways:
            return Named(None, "")
        # An empty country is none, as in requests for a code.
        region = country.upper() if isinstance(country, str) and country else None
        try:
            canonical = parse_address(medium, address, region).canonical
        except InvalidAddress:
            return Named(None, "")
        account = await self._context.database.read(lambda tx: accounts.by_threepid(tx, medium, canonical))
        return Named(account, f"{medium} {canonical}")


def require_active(tx: Tx, user_id: str, *, by: audit.Caller = audit.OWNER) -> None:
    """Hold the account's row until `tx` ends. Raises Forbidden if it is deactivated, and UserLocked if it is locked.

    An operator may change a locked account, for example to set a new password before unlocking it.
    """
    account = accounts.lock(tx, user_id)
    if account is None:
        raise Forbidden(Text("This account has been deactivated."))
    if account.locked_at is not None and by.kind is not audit.CallerKind.OPERATOR:
        raise UserLocked


def refuse_locked(tx: Tx, user_id: str) -> None:
    """Raise UserLocked if an operator has locked the account. `tx` holds the account's row."""
    if accounts.is_locked(tx, user_id):
        raise UserLocked


def in_small_letters(username: str) -> str:
    """The username in lower case, if it is ASCII; otherwise unchanged."""
    # Lower case turns some other letters into ASCII (the Kelvin sign into k): they would then pass as a valid username.
    return username.lower() if username.isascii() else username
