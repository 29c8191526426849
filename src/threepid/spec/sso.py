"""Single sign-on of the old login: where the browser takes the login token. Any app may ask, so any address is possible.

https://spec.matrix.org/latest/client-server-api/#sso-client-loginauthentication
"""

import re
from typing import Final
from urllib.parse import unquote_plus

from msgspec import Struct

from threepid.spec.oauth import redirects

PAGE: Final = "/account/sso"
"""The page on which people let the app in."""
LOGIN_TOKEN: Final = "loginToken"  # noqa: S105 - the name of a parameter
_URL: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,2000}")
"""The characters of RFC 3986: no space, no backslash, nothing beyond ASCII, which browsers read differently."""
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_NOT_OF_APPS: Final = frozenset(
    {
        "about",
        "blob",
        "cid",
        "chrome",
        "chrome-extension",
        "content",
        "data",
        "file",
        "filesystem",
        "ftp",
        "ftps",
        "intent",
        "jar",
        "javascript",
        "livescript",
        "mailto",
        "mid",
        "mms",
        "mocha",
        "moz-extension",
        "ms-appx",
        "res",
        "resource",
        "sms",
        "ssh",
        "tel",
        "telnet",
        "urn",
        "vbscript",
        "view-source",
        "wyciwyg",
        "ws",
        "wss",
    }
)
"""Schemes that run something, read something, or belong to other programs."""


class SsoTarget(Struct, frozen=True):
    """The address of an app that waits for a login token."""

    url: str
    shown: str
    """What people read of it: the host with its port, or the private scheme."""
    policy_source: str
    """Its Content-Security-Policy source."""

    def answer(self, token: str) -> str:
        """The address with the token in its query. What it had stays as it was, except another login token."""
        base, hash_sign, fragment = self.url.partition("#")
        path, _, query = base.partition("?")
        # An address that brings a token of its own would sign the app in to somebody else's account.
        kept = [pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) != LOGIN_TOKEN]
        return f"{path}?{'&'.join([*kept, f'{LOGIN_TOKEN}={token}'])}{hash_sign}{fragment}"


def parse_target(url: str) -> SsoTarget | None:
    """The target with this address; None if the browser must not be sent there."""
    base = url.partition("#")[0]
    scheme, colon, rest = base.partition(":")
    scheme = scheme.lower()
    if not _URL.fullmatch(url) or not colon or not rest or not _SCHEME.fullmatch(scheme) or scheme in _NOT_OF_APPS:
        return None
    if scheme in ("http", "https") and redirects.parse_web_uri(base) is None:
        return None
    shown = redirects.shown_target(base)
    # Whoever is on the way to a host without TLS reads the token, so people see the difference.
    return SsoTarget(url, f"http://{shown}" if scheme == "http" else shown, redirects.policy_source(base))
