"""Third-party credentials: a validation session as proof that an address is one's own.

Today's spelling, and that which clients sent when the API was young (`clientSecret`, `idServer`).
https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3account3pid
"""

from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType

from threepid.spec.errors import BadJson
from threepid.spec.strict_json import convert
from threepid.spec.types import ClientSecret, IdServer, SessionId, Token

C = TypeVar("C", bound="ThreepidCreds")
_OLD_SPELLINGS = {"clientSecret": "client_secret", "idServer": "id_server", "idAccessToken": "id_access_token"}


class ThreepidCreds(Struct, frozen=True):
    """The session's id and secret, and the identity server that it was opened at."""

    sid: SessionId
    client_secret: ClientSecret
    id_server: IdServer | UnsetType = UNSET
    id_access_token: Token | UnsetType = UNSET


class ServedThreepidCreds(ThreepidCreds, frozen=True, kw_only=True):
    """The same where the identity server must be named."""

    id_server: IdServer


def read(value: Any, type_: type[C]) -> C:
    """The credentials in `value`, in either spelling. Raises BadJson, MissingParam or InvalidParam."""
    if not isinstance(value, dict):
        raise BadJson("The third-party credentials are not an object.")
    return convert({_OLD_SPELLINGS.get(name, name): member for name, member in value.items()}, type_)
