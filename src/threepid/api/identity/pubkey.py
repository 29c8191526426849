"""The identity server's public keys, in both versions of the API, because old invitations refer to v1.

https://spec.matrix.org/latest/identity-service-api/#key-management
"""

from typing import Annotated

from msgspec import Meta, Struct

from threepid.api.call import Call
from threepid.i18n import Text
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint, identity, identity_v1

_Text = Annotated[str, Meta(min_length=1, max_length=255)]
_PLAIN = str.maketrans({"-": "+", "_": "/", " ": "+", "=": None})


class PublicKey(Struct, frozen=True):
    """A public key as unpadded base64."""

    public_key: str


class KeyQuery(Struct, frozen=True):
    """A public key as base64, URL-safe or not."""

    public_key: _Text

    @property
    def plain(self) -> str:
        """The key as unpadded standard base64; a `+` that was not escaped arrives as a space."""
        return self.public_key.translate(_PLAIN)


class Validity(Struct, frozen=True):
    """Is the key valid?"""

    valid: bool


async def _get(call: Call, key_id: str) -> PublicKey:
    key = call.identity.associations.keyring.get(key_id)
    if key is None:
        raise errors.NotFound(Text("This key does not exist."))
    return PublicKey(key.public_key)


@endpoint("GET", identity("/pubkey/{key_id}"), auth=Auth.NONE, errors=(errors.NotFound,))
async def get_public_key(call: Call, key_id: _Text) -> PublicKey:
    """Get a public key by its ID, even a retired one. https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityv2pubkeykeyid."""
    return await _get(call, key_id)


@endpoint("GET", identity("/pubkey/isvalid"), auth=Auth.NONE)
async def is_valid(call: Call, query: KeyQuery) -> Validity:
    """Is this a long-term key in force? https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityv2pubkeyisvalid."""
    return Validity(call.identity.associations.keyring.is_valid(query.plain))


@endpoint("GET", identity("/pubkey/ephemeral/isvalid"), auth=Auth.NONE)
async def ephemeral_is_valid(call: Call, query: KeyQuery) -> Validity:
    """Is this a short-lived key in force? https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityv2pubkeyephemeralisvalid."""
    return Validity(await call.identity.associations.ephemeral_key_is_valid(query.plain))


@endpoint("GET", identity_v1("/pubkey/{key_id}"), auth=Auth.NONE, errors=(errors.NotFound,), switch="v1.public_keys")
async def get_public_key_v1(call: Call, key_id: _Text) -> PublicKey:
    """Get a public key by its ID. https://spec.matrix.org/historical/identity_service/r0.3.0.html#get-matrix-identity-api-v1-pubkey-keyid."""
    return await _get(call, key_id)


@endpoint("GET", identity_v1("/pubkey/isvalid"), auth=Auth.NONE, switch="v1.public_keys")
async def is_valid_v1(call: Call, query: KeyQuery) -> Validity:
    """Is this a long-term key in force? https://spec.matrix.org/historical/identity_service/r0.3.0.html#get-matrix-identity-api-v1-pubkey-isvalid."""
    return Validity(call.identity.associations.keyring.is_valid(query.plain))


@endpoint("GET", identity_v1("/pubkey/ephemeral/isvalid"), auth=Auth.NONE, switch="v1.public_keys")
async def ephemeral_is_valid_v1(call: Call, query: KeyQuery) -> Validity:
    """Is this a short-lived key in force? https://spec.matrix.org/historical/identity_service/r0.3.0.html#get-matrix-identity-api-v1-pubkey-ephemeral-isvalid."""
    return Validity(await call.identity.associations.ephemeral_key_is_valid(query.plain))


ENDPOINTS = (
    get_public_key,
    is_valid,
    ephemeral_is_valid,
    get_public_key_v1,
    is_valid_v1,
    ephemeral_is_valid_v1,
)
