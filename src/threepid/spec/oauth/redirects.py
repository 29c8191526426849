"""Redirect URIs: which ones a client may register, which of them a request names, and the answer's address.

https://spec.matrix.org/latest/client-server-api/#redirect-uri-validation
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct

from threepid.config.suffixes import is_public_suffix
from threepid.spec.server_name import parse_server_name

_URI: Final = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]{1,2000}")
"""The characters of RFC 3986 without `#`: no space, no backslash, nothing beyond ASCII, which browsers read differently."""
_WEB: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?@]*)?(?:\?(?P<query>.*))?",
    re.IGNORECASE,
)
_PRIVATE: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+):(?!//)(?P<path>[^?]*)(?:\?(?P<query>.*))?"
)
_DOT_SEGMENT: Final = re.compile(r"(?:\A|/)(?:\.|%2e){1,2}(?:/|\Z)", re.IGNORECASE)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_OURS: Final = frozenset({"code", "state", "iss", "error", "error_description", "error_uri", "response"})
"""The parameters of an answer, which a registered URI must not have."""


class WebUri(Struct, frozen=True):
    """The parts of an http or https URI."""

    scheme: str
    host: str
    port: str | None
    path: str
    query: str


def parse_web_uri(text: str) -> WebUri | None:
    """The parts of an http or https URI without user part and fragment; None for anything else."""
    found = _WEB.fullmatch(text) if _URI.fullmatch(text) else None
    if found is None:
        return None
    host = found["host"].lower()
    try:
        parse_server_name(host if found["port"] is None else f"{host}:{found['port']}")
    except ValueError:
        return None
    if host.endswith(".") or _DOT_SEGMENT.search(found["path"] or ""):
        return None
    return WebUri(found["scheme"].lower(), host, found["port"], found["path"] or "", found["query"] or "")


def is_base(host: str) -> bool:
    """May a client have its home at `host`? Nobody owns a public suffix."""
    return not is_public_suffix(host) or re.fullmatch(r"[0-9.]+|\[.*\]", host) is not None


def is_at_or_below(host: str, base: str) -> bool:
    """Is `host` the host `base` or a subdomain of it?"""
    return host == base or host.endswith(f".{base}")


def why_not_registrable(uri: str, *, base: str, native: bool) -> str | None:
    """Why a client at the host `base` may not register this redirect URI; None if it may."""
    if "#" in uri:
        return "it has a fragment"
    if not _URI.fullmatch(uri):
        return "it has characters that no URI of RFC 3986 has"
    if any(name in _OURS for name, _ in parse_qsl(uri.partition("?")[2], keep_blank_values=True)):
        return "its query has a parameter of the answer"
    web = parse_web_uri(uri)
    if web is not None and web.scheme == "https" and is_at_or_below(web.host, base):
        return None
    return _why_not_native(uri, web, base) if native else "it is not https on the host of client_uri or below it"


def _why_not_native(uri: str, web: WebUri | None, base: str) -> str | None:
    if web is not None and web.scheme == "http" and web.host in _LOOPBACK:
        return None if web.port is None else "on loopback it has no port, because any port is accepted later"
    private = _PRIVATE.fullmatch(uri)
    home = ".".join(reversed(base.split(".")))
    if private is None or _DOT_SEGMENT.search(private["path"]):
        return "it is neither https, nor http on loopback, nor has a private scheme with at most one slash"
    if private["scheme"] != home and not private["scheme"].startswith(f"{home}."):
        return "its private scheme does not begin with the reversed host of client_uri"
    return None


def is_registered(uri: str, registered: Iterable[str]) -> bool:
    """Is `uri` one of the `registered` ones? On loopback, http may have any port. https://www.rfc-editor.org/rfc/rfc8252#section-7.3."""
    if uri in registered:
        return True
    web, found = parse_web_uri(uri), _WEB.fullmatch(uri)
    if web is None or found is None or web.scheme != "http" or web.host not in _LOOPBACK or web.port is None:
        return False
    return uri[: found.end("host")] + uri[found.end("port") :] in registered


def answer_uri(uri: str, parameters: Mapping[str, str], *, in_fragment: bool) -> str:
    """The address of the answer: the redirect URI with `parameters` in its query or its fragment."""
    encoded = urlencode(parameters)
    if in_fragment:
        return f"{uri}#{encoded}"
    return f"{uri}{'&' if '?' in uri else '?'}{encoded}"


def policy_source(uri: str) -> str:
    """The Content-Security-Policy source of a redirect URI."""
    web = parse_web_uri(uri)
    if web is None:
        return f"{uri.partition(':')[0]}:"
    if web.host.startswith("["):
        return f"{web.scheme}:"  # a source cannot name an IPv6 address
    return f"{web.scheme}://{web.host}{f':{web.port}' if web.port else ''}"


def shown_target(uri: str) -> str:
    """What people read of a redirect URI: the host with its port, or the private scheme."""
    web = parse_web_uri(uri)
    if web is None:
        return uri.partition(":")[0]
    return f"{web.host}{f':{web.port}' if web.port else ''}"
