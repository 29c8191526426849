"""The `next_link`: the page to which the browser may be redirected once an address is confirmed."""

import re
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from threepid.config import Web

_PLAIN: Final = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without spaces and backslashes: browsers parse anything else differently."""
_ROUTE: Final = re.compile(r"!?/|.*\?")
"""The beginning of a fragment that is an address within a web app, such as Element's `#/register?…`."""


def target(web: Web, next_link: str, sid: str) -> str | None:
    """`next_link` with the parameter `sid`, or None if a page may only show it as text.

    A redirect requires https and exactly a host of `web.next_link_hosts`, or exactly a scheme of `web.next_link_schemes`.
    The parameter goes into the query, or behind the `#` if an address within a web app is there: Element reads only that one.
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
    if _ROUTE.match(parts.fragment):
        page, _, query = parts.fragment.partition("?")
        return urlunsplit(parts._replace(fragment=f"{page}?{_with_sid(query, sid)}"))
    return urlunsplit(parts._replace(query=_with_sid(parts.query, sid)))


def source(destination: str) -> str:
    """The Content-Security-Policy source of a `destination` that `target` has returned."""
    parts = urlsplit(destination)
    return f"https://{parts.netloc.lower()}" if parts.scheme == "https" else f"{parts.scheme}:"


def _with_sid(query: str, sid: str) -> str:
    return f"{query}{'&' if query else ''}sid={quote(sid, safe='')}"


def _is_listed(web: Web, parts: SplitResult) -> bool:
    if parts.scheme == "https":
        # netloc, not hostname: a username, a port or an escaped letter must not match a listed host.
        return parts.netloc.lower() in {host.lower() for host in web.next_link_hosts}
    return parts.scheme in web.next_link_schemes and parts.scheme not in {
        "http",
        "javascript",
        "data",
        "file",
        "vbscript",
    }
