"""Signing and verifying requests between servers: the scheme `X-Matrix`.

https://spec.matrix.org/latest/server-server-api/#request-authentication
"""

import re
from typing import Any, Final

import nacl.exceptions
import nacl.signing
from canonicaljson import encode_canonical_json
from msgspec import Struct
from unpaddedbase64 import decode_base64, encode_base64

from threepid.spec.server_name import is_server_name

_MAX_HEADER: Final = 4_096
_SCHEME: Final = re.compile(r"X-Matrix +", re.IGNORECASE)
# A token of RFC 9110, and colons, which older servers do not quote.
_PARAMETER: Final = re.compile(
    r"""[ \t]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*
    (?:"(?P<quoted>(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e])*)"|(?P<bare>[!#$%&'*+.^_`|~0-9A-Za-z:-]+))
    [ \t]*(?P<end>,|\Z)""",
    re.VERBOSE,
)
_KEY_ID: Final = re.compile(r"ed25519:[a-zA-Z0-9_]{1,255}")
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9+/]{86}(?:==)?")
"""In base64, with or without padding. https://spec.matrix.org/latest/appendices/#unpadded-base64"""


class BadSignature(Exception):
    """The signature of a request is missing, malformed or wrong; the message is for the log."""


class SignedRequest(Struct, frozen=True):
    """The signed parts of a request: `uri` is path and query as sent, `content` the body."""

    method: str
    uri: str
    content: dict[str, Any] | None


class Signature(Struct, frozen=True):
    """The parameters of an `X-Matrix` header. Servers before v1.3 send no destination."""

    origin: str
    key_id: str
    signature: str
    destination: str | None = None


class Signer(Struct, frozen=True):
    """Signs the requests of the server `origin` with its key."""

    origin: str
    key: Any

    def authorization(self, request: SignedRequest, destination: str, *, member: str = "destination") -> str:
        """The `Authorization` header of a request to `destination`.

        `member` is the name of the destination in the signed object. Identity servers made for Synapse verify
        `destination_is`, which is not in the specification.
        """
        message = _message(request, self.origin, member, destination)
        signature = encode_base64(self.key.sign(message).signature)
        key_id = f"{self.key.alg}:{self.key.version}"
        return f'X-Matrix origin="{self.origin}",destination="{destination}",key="{key_id}",sig="{signature}"'


DESTINATION_MEMBERS: Final = ("destination", "destination_is")
"""Names of the destination in the signed object: the specification's, and Synapse's for identity servers."""


def parse_authorization(header: str) -> Signature:
    """The parameters of an `Authorization` header. Raises BadSignature unless it is a valid header of this scheme.

    Values may be quoted or not, names are case-insensitive, unknown parameters are ignored.
    """
    scheme = _SCHEME.match(header) if len(header) <= _MAX_HEADER else None
    if scheme is None:
        raise BadSignature("no X-Matrix header")
    found: dict[str, str] = {}
    position, more = scheme.end(), True
    while more:
        parameter = _PARAMETER.match(header, position)
        if parameter is None:
            raise BadSignature("malformed header")
        name = parameter["name"].lower()
        if name in found:
            raise BadSignature("a parameter comes twice")
        quoted = parameter["quoted"]
        found[name] = parameter["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        position, more = parameter.end(), parameter["end"] == ","
    try:
        signature = Signature(found["origin"], found["key"], found["sig"], found.get("destination"))
    except KeyError:
        raise BadSignature("a parameter is missing") from None
    if not is_server_name(signature.origin):
        raise BadSignature("the origin is no server name")
    if not _KEY_ID.fullmatch(signature.key_id) or not _SIGNATURE.fullmatch(signature.signature):
        raise BadSignature("not a signature of ed25519")
    return signature


def verify(signature: Signature, public_key: bytes, request: SignedRequest, destination: str) -> None:
    """Raise BadSignature unless `public_key` signed this request to `destination`.

    The caller must check that the key belongs to the origin and is valid.
    """
    if signature.destination not in (None, destination):
        raise BadSignature("signed for another server")
    raw = decode_base64(signature.signature)
    key = nacl.signing.VerifyKey(public_key)
    for member in DESTINATION_MEMBERS:
        try:
            key.verify(_message(request, signature.origin, member, destination), raw)
        except nacl.exceptions.BadSignatureError:
            continue
        return
    raise BadSignature("the signature is not of this request")


def _message(request: SignedRequest, origin: str, member: str, destination: str) -> bytes:
    signed = {"method": request.method, "uri": request.uri, "origin": origin, member: destination}
    if request.content is not None:
        signed["content"] = request.content  # type: ignore[assignment]
    return bytes(encode_canonical_json(signed))
