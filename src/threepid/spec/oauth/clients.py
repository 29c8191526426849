"""The metadata of clients: what they register, by which rules, and the ID that follows from it.

https://spec.matrix.org/latest/client-server-api/#client-registration
https://www.rfc-editor.org/rfc/rfc7591
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from canonicaljson import encode_canonical_json

from threepid.spec.oauth.errors import InvalidClientMetadata, InvalidRedirectUri
from threepid.spec.oauth.redirects import is_at_or_below, is_base, parse_web_uri, why_not_registrable

AUTHORIZATION_CODE: Final = "authorization_code"
REFRESH_TOKEN: Final = "refresh_token"  # noqa: S105 - the name of a grant
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
GRANTS: Final = (AUTHORIZATION_CODE, REFRESH_TOKEN, DEVICE_CODE)
_RESPONSES: Final = ("code",)
_LONGEST_NAME: Final = 256
_MOST: Final = 20
"""Maximum number each of redirect URIs, grant types and response types."""
_MOST_LANGUAGES: Final = 100
"""Maximum number of languages of one member: big apps have sixty."""
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LINKS: Final = ("logo_uri", "tos_uri", "policy_uri")
_LOCALIZED: Final = re.compile(
    r"(?P<member>client_name|logo_uri|tos_uri|policy_uri)#(?P<tag>[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4})"
)


def client_metadata(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is registered of the metadata that a client gives; nulls and members without a meaning here are left out.

    Raises InvalidClientMetadata and InvalidRedirectUri.
    """
    # To the registry of metadata, null and an absent member are one. https://www.rfc-editor.org/rfc/rfc7592#section-2.2.
    given = {name: value for name, value in given.items() if value is not None}
    home = given.get("client_uri")
    base = parse_web_uri(home) if isinstance(home, str) else None
    if base is None or base.scheme != "https" or not is_base(base.host):
        raise InvalidClientMetadata("client_uri must be an https URL, on a host of its own and without a user part.")
    if given.get("token_endpoint_auth_method", "none") != "none":
        raise InvalidClientMetadata("token_endpoint_auth_method must be none.")
    kind = given.get("application_type", "web")
    if kind not in ("web", "native"):
        raise InvalidClientMetadata("application_type must be web or native.")
    grants = _known(given, "grant_types", GRANTS, (AUTHORIZATION_CODE,))
    responses = _known(given, "response_types", _RESPONSES, _RESPONSES if AUTHORIZATION_CODE in grants else ())
    if AUTHORIZATION_CODE in grants and "code" not in responses:
        raise InvalidClientMetadata("response_types must have code, because grant_types has authorization_code.")
    uris = _redirect_uris(given, base.host, native=kind == "native")
    if AUTHORIZATION_CODE in grants and not uris:
        raise InvalidRedirectUri("redirect_uris must have a URI, because grant_types has authorization_code.")
    return {
        "application_type": kind,
        "client_uri": home,
        "grant_types": grants,
        "response_types": responses,
        "token_endpoint_auth_method": "none",
        **({"redirect_uris": uris} if uris else {}),
        **_descriptions(given, base.host),
    }


def client_id(metadata: Mapping[str, Any]) -> str:
    """The ID of the client with this metadata: a hash of it, so that a client that registers again is the same."""
    digest = hashlib.sha256(encode_canonical_json(dict(metadata))).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def localized(metadata: Mapping[str, Any], member: str, languages: Iterable[str]) -> str:
    """The member in the first of `languages` that the client has it in, else in its own; '' if it has none.

    https://spec.matrix.org/latest/client-server-api/#metadata-localization
    """
    known = {name.lower(): text for name, text in metadata.items() if name.startswith(f"{member}#")}
    for language in languages:
        tag = language.lower()
        for wanted in (tag, tag.partition("-")[0]):
            if (text := known.get(f"{member}#{wanted}")) is not None:
                return str(text)
    return str(metadata.get(member, ""))


def _strings(given: Mapping[str, Any], member: str) -> list[str]:
    values = given[member]
    if not isinstance(values, list) or len(values) > _MOST or not all(isinstance(value, str) for value in values):
        error = InvalidRedirectUri if member == "redirect_uris" else InvalidClientMetadata
        raise error(f"{member} must be an array of at most {_MOST} strings.")
    return values


def _known(given: Mapping[str, Any], member: str, known: tuple[str, ...], default: tuple[str, ...]) -> list[str]:
    """Those of an array's values that mean something here, in a fixed order."""
    values = _strings(given, member) if member in given else default
    return [value for value in known if value in values]


def _redirect_uris(given: Mapping[str, Any], base: str, *, native: bool) -> list[str]:
    uris = _strings(given, "redirect_uris") if "redirect_uris" in given else []
    for uri in uris:
        if trouble := why_not_registrable(uri, base=base, native=native):
            raise InvalidRedirectUri(f"Invalid redirect URI: {trouble}.")
    return sorted(set(uris))


def _descriptions(given: Mapping[str, Any], base: str) -> dict[str, str]:
    """Name and links of a client, in all languages."""
    found: dict[str, str] = {}
    languages = Counter[str]()
    for name, value in given.items():
        matched = _LOCALIZED.fullmatch(name)
        member = matched["member"] if matched else name
        if member not in ("client_name", *_LINKS):
            continue
        if member == "client_name":
            if not isinstance(value, str) or len(value) > _LONGEST_NAME or not _NAME.fullmatch(value):
                raise InvalidClientMetadata(f"client_name must have 1 to {_LONGEST_NAME} characters and no controls.")
        else:
            link = parse_web_uri(value) if isinstance(value, str) else None
            if link is None or link.scheme != "https" or not is_at_or_below(link.host, base):
                raise InvalidClientMetadata(f"{member} must be an https URL on the host of client_uri or below it.")
        languages[member] += matched is not None
        if languages[member] > _MOST_LANGUAGES:
            raise InvalidClientMetadata("The metadata has too many languages.")
        found[name] = value
    return found
