"""How mails are sent: the transports of `[email] via`, and the rules for connections to relays."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from msgspec import Meta

from threepid.config.problem import HOST, Problem, is_address, is_loopback
from threepid.config.section import AuthoritiesFile, NewFolder, SecretFile, Section

_RELAY: Final = re.compile(HOST.replace("0-9A-Za-z-]", "0-9A-Za-z_-]"))
"""A host name, also with the underscores that container platforms use."""
_WITH_PORT: Final = re.compile(r"(?P<host>[^:]+|\[[^\]]*\]):(?P<port>[0-9]*)")
_IMPLICIT: Final = frozenset({465})
"""Ports on which TLS begins with the first byte. https://www.rfc-editor.org/rfc/rfc8314#section-3.3."""
_EXPLICIT: Final = frozenset({25, 587})
"""Ports on which TLS begins with STARTTLS."""


class SmtpTransport(Section, frozen=True, tag_field="transport", tag="smtp"):
    """A mail relay."""

    host: str
    """Host name of the relay; its certificate must match."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    """Port of the relay."""
    tls: Literal["starttls", "tls", "plain"] = "starttls"
    """Encryption of the connection; `plain` is for relays on this machine only."""
    username: str = ""
    """Username at the relay; empty = no login."""
    password_file: SecretFile = ""
    """File with the password at the relay; empty = no login."""
    ca_file: AuthoritiesFile = ""
    """File with further certificate authorities (PEM) for this relay; empty = only those of the system."""
    timeout: Annotated[float, Meta(gt=0, le=300)] = 30.0
    """Maximum time to hand the whole mail to the relay, in seconds."""
    answer_timeout: Annotated[float, Meta(gt=0, le=3600)] = 600.0
    """Maximum time for the relay to accept the mail then, in seconds; if it is too short, mails arrive twice (RFC 5321)."""


class FileTransport(Section, frozen=True, tag_field="transport", tag="file"):
    """Writes each mail to an `.eml` file. For tests and dry runs."""

    directory: NewFolder
    """Folder of the files; it is created if it does not exist."""


class MailboxTransport(Section, frozen=True, tag_field="transport", tag="mailbox"):
    """Keeps mails in the database and shows them under `/mailbox/`. For development only."""


EmailTransport = SmtpTransport | FileTransport | MailboxTransport


def relay_problems(place: str, via: EmailTransport, *, public: bool) -> Iterator[Problem]:
    """Yield the unsafe values of one relay; `public` is whether other machines can reach the server."""
    if isinstance(via, SmtpTransport):
        yield from _relay(place, via)
    if isinstance(via, MailboxTransport) and public:
        yield Problem(place, "shows all mails to everybody who can reach the server: use smtp")
    if isinstance(via, FileTransport) and not via.directory:
        yield Problem(place, "has no directory")


def _relay(place: str, via: SmtpTransport) -> Iterator[Problem]:
    trouble = _why_no_host(via.host)
    if trouble:
        yield Problem(f"{place}.host", trouble)
        return
    if via.tls == "plain" and not is_loopback(via.host):
        yield Problem(place, f'would send codes to {via.host} unencrypted: use tls = "starttls" or "tls"')
    elif via.port in _IMPLICIT and via.tls != "tls":
        yield Problem(place, f'port {via.port} expects TLS from the start: set tls = "tls", or port = 587')
    elif via.port in _EXPLICIT and via.tls == "tls":
        yield Problem(place, f'port {via.port} does not start with TLS: set tls = "starttls", or port = 465')
    if bool(via.username) != bool(via.password_file):
        yield Problem(place, "needs both username and password_file, or neither")


def _why_no_host(host: str) -> str | None:
    """Why this is not the host of a relay, and what to write instead; None if it is."""
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
