"""The message that a request for a token causes: the code and link for the owner of an address, or why there are none."""

from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from threepid.clock import MINUTE
from threepid.domain import messages, policy
from threepid.domain.context import Context
from threepid.domain.origin import Origin
from threepid.domain.validation.lifetimes import CODE_LIFE, LINK_LIFE
from threepid.domain.validation.purposes import RESETS, Purpose
from threepid.storage.threepids import Holder
from threepid.storage.validations import Session

CLOSES: Final = "closes=1"
"""The query of a mailed link by which the page behind it says, as the mail does, that the link can close the account."""


class Asked(Struct, frozen=True):
    """A request for a token, and what was found and made for it."""

    purpose: Purpose
    session: Session
    holder: Holder | None
    """The account that has the address."""
    owner: str
    """The account that asks, '' for none."""
    link: str
    code: str
    origin: Origin
    closes: bool
    """Can the code of a reset close the account?"""

    def __repr__(self) -> str:
        """Leave out everything: address, link and code must not get into a log."""
        return "Asked()"


def is_taken(purpose: Purpose, holder: Holder | None, owner: str) -> bool:
    """Does an account have the address already, so that `owner` ('' for no account) cannot have it for `purpose`?"""
    if holder is None:
        return False
    return purpose is Purpose.REGISTER or (purpose is Purpose.ADD and holder.user_id != owner)


def recipient_of(asked: Asked) -> str:
    """The address as the account validated it, if an account has it: the caller may have typed a look-alike."""
    holder, purpose = asked.holder, asked.purpose
    if holder is not None and (purpose in (*RESETS, Purpose.CONFIRM) or is_taken(purpose, holder, asked.owner)):
        return holder.address
    return asked.session.address


def message_for(context: Context, asked: Asked) -> messages.Message:
    """The message to the owner of the address."""
    return _without_code(context, asked) or _with_code(context, asked)


def _without_code(context: Context, asked: Asked) -> messages.Message | None:
    """The message without a code, for an address that cannot be validated; None if it can be.

    It tells the address's owner what the caller must not learn.
    """
    brand, holder, address = context.brand, asked.holder, asked.session.address
    if holder is None:
        is_unknown = asked.purpose in RESETS
        origin = asked.origin.in_message()
        return messages.AddressUnknown(brand=brand, address=address, origin=origin) if is_unknown else None
    if not is_taken(asked.purpose, holder, asked.owner):
        return None
    if asked.purpose is Purpose.ADD:
        return messages.ContactInUse(brand=brand, address=holder.address, user_id=holder.user_id)
    return messages.AddressInUse(brand=brand, address=address, user_id=holder.user_id)


@lru_cache(maxsize=1)
def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _with_code(context: Context, asked: Asked) -> messages.Message:
    brand, purpose, holder = context.brand, asked.purpose, asked.holder
    base = context.config.server.public_base_url.rstrip("/")
    host = _host(base)
    common = {
        "brand": brand,
        "address": asked.session.address,
        "host": host,
        "link": f"{base}/confirm/{asked.link}",
        "code": asked.code,
        "code_minutes": CODE_LIFE // MINUTE,
        "link_minutes": LINK_LIFE // MINUTE,
        "origin": asked.origin.in_message(),
    }
    if purpose is Purpose.REGISTER:
        return messages.RegisterAddress(**common)  # type: ignore[arg-type]
    if purpose is Purpose.RESET and holder is not None:
        can_close = asked.closes or policy.closes_without_token(context.config)
        if can_close:
            common["link"] = f"{common['link']}?{CLOSES}"
        return messages.ResetPassword(**common, user_id=holder.user_id, can_close=int(can_close))  # type: ignore[arg-type]
    if purpose is Purpose.WEB_RESET and holder is not None:
        common["link"] = f"{base}/reset/{asked.link}"
        return messages.ChoosePassword(**common, user_id=holder.user_id)  # type: ignore[arg-type]
    if purpose is Purpose.CONFIRM:
        return messages.ConfirmOwner(
            brand=brand,
            user_id=asked.owner,
            host=host,
            code=asked.code,
            code_minutes=CODE_LIFE // MINUTE,
            origin=asked.origin.in_message(),
        )
    if purpose is Purpose.IDENTITY and not asked.session.owner:
        return messages.ConfirmForHomeserver(**common)  # type: ignore[arg-type]
    # A session of the identity server may be for an account of any homeserver.
    homeserver = brand if purpose is Purpose.ADD else ""
    return messages.ConfirmAddress(**common, homeserver=homeserver)  # type: ignore[arg-type]
