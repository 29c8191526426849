"""How mails leave: relays that can be reached in private, and a sender that can be written."""

import re
from collections.abc import Iterator
from typing import Final

from threepid.config.problem import HOST, Problem, is_address, is_loopback
from threepid.config.settings import Config, FileTransport, MailboxTransport, SmtpTransport

_ADDRESS: Final = rf"[^\s<>()\[\]:;@\\,\"\x00-\x1f\x7f-\U0010ffff]+@{HOST}"
_SENDER: Final = re.compile(rf"{_ADDRESS}|[^<>\x00-\x1f\x7f-\x9f]*<{_ADDRESS}>")
_RELAY: Final = re.compile(HOST.replace("0-9A-Za-z-]", "0-9A-Za-z_-]"))
"""A host name, also such as container platforms give."""
_WITH_PORT: Final = re.compile(r"(?P<host>[^:]+|\[[^\]]*\]):(?P<port>[0-9]*)")
_IMPLICIT: Final = frozenset({465})
"""Ports on which TLS begins at once. https://www.rfc-editor.org/rfc/rfc8314#section-3.3."""
_EXPLICIT: Final = frozenset({25, 587})
"""Ports on which it begins with STARTTLS."""


def mail(config: Config, *, public: bool) -> Iterator[Problem]:
    """What is wrong with `[email]`; `public` is whether others than this machine reach the server."""
    if config.email is None:
        return
    for index, via in enumerate(config.email.via):
        place = f"[email] via[{index}]"
        if isinstance(via, SmtpTransport):
            yield from _relay(place, via)
        if isinstance(via, MailboxTransport) and public:
            yield Problem(place, "shows all mails to everybody who reaches the server: use smtp")
        if isinstance(via, FileTransport) and not via.directory:
            yield Problem(place, "has no directory")
    if not config.email.via:
        yield Problem("[email] via", "has no relay")
    if not _SENDER.fullmatch(config.email.sender):
        yield Problem("[email] from", "is not `Name <address>`")


def _relay(place: str, via: SmtpTransport) -> Iterator[Problem]:
    trouble = _why_no_host(via.host)
    if trouble:
        yield Problem(f"{place}.host", trouble)
        return
    if via.tls == "plain" and not is_loopback(via.host):
        yield Problem(place, f'would send codes to {via.host} in the clear: use tls = "starttls" or "tls"')
    elif via.port in _IMPLICIT and via.tls != "tls":
        yield Problem(place, f'port {via.port} speaks TLS from the first byte: set tls = "tls", or port = 587')
    elif via.port in _EXPLICIT and via.tls == "tls":
        yield Problem(place, f'port {via.port} begins in the clear: set tls = "starttls", or port = 465')
    if bool(via.username) != bool(via.password_file):
        yield Problem(place, "needs both username and password_file, or neither")


def _why_no_host(host: str) -> str | None:
    """Why this cannot be a relay's host, and what to write; None if it can."""
    scheme, separator, _ = host.partition("://")
    if separator:
        wanted = {"smtps": "tls", "smtp": "starttls"}.get(scheme.lower())
        advice = f' and tls = "{wanted}"' if wanted else ""
        return f"{host!r} is a URL: write the name alone{advice}"
    if host.startswith("[") and host.endswith("]"):
        return f"{host!r} has brackets: write the address alone"
    if is_address(f"[{host}]") or _RELAY.fullmatch(host):
        return None
    if match := _WITH_PORT.fullmatch(host):
        return (
            f'{host!r} has a port in it: write host = "{match["host"].strip("[]")}" and port = {match["port"] or "…"}'
        )
    return f"{host!r} is not a host name in ASCII or an IP address"
