"""How mails leave: the transports of `[email] via`, and relays that can be reached in private."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from msgspec import Meta

from threepid.config.problem import HOST, Problem, is_address, is_loopback
from threepid.config.section import AuthoritiesFile, NewFolder, SecretFile, Section

_RELAY: Final = re.compile(HOST.replace("0-9A-Za-z-]", "0-9A-Za-z_-]"))
"""A host name, also such as container platforms give."""
_WITH_PORT: Final = re.compile(r"(?P<host>[^:]+|\[[^\]]*\]):(?P<port>[0-9]*)")
_IMPLICIT: Final = frozenset({465})
"""Ports on which TLS begins at once. https://www.rfc-editor.org/rfc/rfc8314#section-3.3."""
_EXPLICIT: Final = frozenset({25, 587})
"""Ports on which it begins with STARTTLS."""


class SmtpTransport(Section, frozen=True, tag_field="transport", tag="smtp"):
    """A mail relay."""

    host: str
    """The relay's host name; its certificate must be for it."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    """The relay's port."""
    tls: Literal["starttls", "tls", "plain"] = "starttls"
    """How the connection is protected; `plain` is for relays on this machine."""
    username: str = ""
    """Who logs in; empty = nobody."""
    password_file: SecretFile = ""
    """A file that holds the password."""
    ca_file: AuthoritiesFile = ""
    """Further certificate authorities for this relay."""
    timeout: Annotated[float, Meta(gt=0, le=300)] = 30.0
    """Seconds until the relay has the whole mail."""
    answer_timeout: Annotated[float, Meta(gt=0, le=3600)] = 600.0
    """Seconds that the relay then has to accept the mail; a mail that was given up too soon arrives twice (RFC 5321)."""


class FileTransport(Section, frozen=True, tag_field="transport", tag="file"):
    """Writes each mail as one `.eml` file: for tests and dry runs."""

    directory: NewFolder
    """The folder; it is made if there is none."""


class MailboxTransport(Section, frozen=True, tag_field="transport", tag="mailbox"):
    """Keeps mails in memory-backed tables and shows them under `/mailbox/`: development only."""


EmailTransport = SmtpTransport | FileTransport | MailboxTransport


def relay_problems(place: str, via: EmailTransport, *, public: bool) -> Iterator[Problem]:
    """What cannot be safe about one relay; `public` is whether programs on other machines reach the server."""
    if isinstance(via, SmtpTransport):
        yield from _relay(place, via)
    if isinstance(via, MailboxTransport) and public:
        yield Problem(place, "shows all mails to everybody who reaches the server: use smtp")
    if isinstance(via, FileTransport) and not via.directory:
        yield Problem(place, "has no directory")


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
