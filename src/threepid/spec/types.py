"""Strings and numbers with the constraints of the specification."""

import re
from typing import Annotated, Final

from msgspec import Meta, Struct

from threepid.spec.server_name import is_server_name

MAX_INTEGER: Final = 2**53 - 1

# msgspec searches for the pattern anywhere: \A and \Z anchor it to the whole string ($ would allow a final line feed).
ClientSecret = Annotated[str, Meta(pattern=r"\A[0-9a-zA-Z.=_-]{1,255}\Z")]
"""https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2validateemailrequesttoken"""
SessionId = Annotated[str, Meta(pattern=r"\A[0-9a-zA-Z.=_-]{1,255}\Z")]
"""An opaque identifier. https://spec.matrix.org/latest/appendices/#opaque-identifiers"""
Token = Annotated[str, Meta(min_length=1, max_length=1024)]
"""A token that a server issued."""
SendAttempt = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
"""The number of the client's attempt: a higher number asks for another message."""
NextLink = Annotated[str, Meta(max_length=2000)]
"""The URL to which the client wants the browser redirected after validation."""
Country = Annotated[str, Meta(pattern=r"\A([A-Za-z]{2})?\Z")]
"""A country by its ISO 3166-1 alpha-2 code; apps for iOS send '' with an international number."""
PhoneNumber = Annotated[str, Meta(min_length=1, max_length=255)]
"""A phone number as typed."""
IdServer = Annotated[str, Meta(min_length=1, max_length=255)]
"""The name of an identity server, with an optional port."""
ServerName = Annotated[str, Meta(min_length=1, max_length=255)]
"""The name of a homeserver."""
UserId = Annotated[str, Meta(min_length=4, max_length=255, pattern=r"\A@[^\x00-\x20\x7f:]*:[^\x00-\x20\x7f]+\Z")]
"""A user ID, including historical ones. https://spec.matrix.org/latest/appendices/#user-identifiers"""
DeviceId = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z")]
"""A device ID."""
DisplayName = Annotated[str, Meta(max_length=256, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
"""A display name of a user or a device."""
Password = Annotated[str, Meta(max_length=4096)]
"""A password as sent; the domain limits the length of a new one."""

_LOCALPART: Final = re.compile(r"[a-z0-9._=/+-]+")
_MAX_USER_ID: Final = 255


class ParsedUserId(Struct, frozen=True):
    """The parts of a user ID."""

    localpart: str
    server_name: str


def parse_user_id(text: str) -> ParsedUserId:
    """The parts of `text`. Raises ValueError if it is not a user ID. https://spec.matrix.org/latest/appendices/#user-identifiers."""
    localpart, colon, server_name = text.removeprefix("@").partition(":")
    if not text.startswith("@") or not colon or not is_server_name(server_name) or len(text.encode()) > _MAX_USER_ID:
        raise ValueError("not a user ID")
    if not localpart.isascii() or not localpart.isprintable() or " " in localpart:
        raise ValueError("not a user ID")
    return ParsedUserId(localpart, server_name)


def valid_localpart(text: str) -> bool:
    """May a new account have the localpart `text`? https://spec.matrix.org/latest/appendices/#user-identifiers."""
    return _LOCALPART.fullmatch(text) is not None
