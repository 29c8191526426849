"""Third-party credentials: a validation session that proves an address.

Members may have their current names or those of early clients (`clientSecret`, `idServer`).
https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3account3pid
"""

from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType

from threepid.i18n import Text
from threepid.spec.errors import BadJson
from threepid.spec.strict_json import convert
from threepid.spec.types import ClientSecret, IdServer, SessionId, Token

C = TypeVar("C", bound="ThreepidCreds")
_OLD_SPELLINGS = {"clientSecret": "client_secret", "idServer": "id_server", "idAccessToken": "id_access_token"}


class ThreepidCreds(Struct, frozen=True):
    """The session's ID and client secret, and the identity server that validated it."""

    sid: SessionId
    client_secret: ClientSecret
    id_server: IdServer | UnsetType = UNSET
    id_access_token: Token | UnsetType = UNSET


class ServedThreepidCreds(ThreepidCreds, frozen=True, kw_only=True):
    """Third-party credentials that must name the identity server."""

    id_server: IdServer


def read(value: Any, type_: type[C]) -> C:
    """The credentials in `value`, under either names. Raises BadJson, MissingParam or InvalidParam."""
    if not isinstance(value, dict):
        raise BadJson(Text("The third-party credentials are not an object."))
    return convert({_OLD_SPELLINGS.get(name, name): member for name, member in value.items()}, type_)
