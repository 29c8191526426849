"""Where a person may be sent on to after confirming an address."""

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from threepid.config import Web

_PLAIN: Final = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without blanks and backslashes: anything else is read differently by different browsers."""


def target(web: Web, next_link: str, sid: str) -> str | None:
    """`next_link` with the `sid` as a parameter, or None if it must only be shown as text.

    It must be https to exactly a host of `web.next_link_hosts`, or have exactly a scheme of `web.next_link_schemes`.
    """
    if not _PLAIN.fullmatch(next_link):
        return None
    try:
        parts = urlsplit(next_link)
        allowed = _is_listed(web, parts)
    except ValueError:
        return None
    if not allowed:
        return None
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("sid", sid)])
    return urlunsplit(parts._replace(query=query))


def source(destination: str) -> str:
    """What a Content-Security-Policy calls the place of a `destination` that `target` has allowed."""
    parts = urlsplit(destination)
    return f"https://{parts.netloc.lower()}" if parts.scheme == "https" else f"{parts.scheme}:"


def _is_listed(web: Web, parts: SplitResult) -> bool:
    if parts.scheme == "https":
        # netloc, not hostname: a user name, a port or an escaped letter makes it another host than the listed one.
        return parts.netloc.lower() in {host.lower() for host in web.next_link_hosts}
    return parts.scheme in web.next_link_schemes and parts.scheme not in {
        "http",
        "javascript",
        "data",
        "file",
        "vbscript",
    }
