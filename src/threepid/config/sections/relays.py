"""How mails are sent: the transports of `[email] via`, and the rules for connections to relays."""

import os
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta

from threepid.config.problem import HOST, MAILBOX, Problem, is_address, is_loopback, is_private
from threepid.config.section import AuthoritiesFile, NewFolder, SecretFile, Section

_RELAY: Final = re.compile(HOST.replace("0-9A-Za-z-]", "0-9A-Za-z_-]"))
"""A host name, also with the underscores that container platforms use."""
_LITERAL: Final = re.compile(r"\[(?:IPv6:)?[0-9A-Fa-f:.]+\]")
"""An address in EHLO. https://www.rfc-editor.org/rfc/rfc5321#section-4.1.3"""
_WITH_PORT: Final = re.compile(r"(?P<host>[^:]+|\[[^\]]*\]):(?P<port>[0-9]*)")
_IMPLICIT: Final = frozenset({465})
"""Ports on which TLS begins with the first byte. https://www.rfc-editor.org/rfc/rfc8314#section-3.3."""
_EXPLICIT: Final = frozenset({25, 587})
"""Ports on which TLS begins with STARTTLS."""


class SmtpTransport(Section, frozen=True, tag_field="transport", tag="smtp"):
    """A mail relay."""

    host: str
    """Host name of the relay; its certificate must match, unless `tls_name` names another."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    """Port of the relay."""
    tls: Literal["starttls", "tls", "plain"] = "starttls"
    """Encryption of the connection; `plain` is for relays on this machine, unless `allow_plain` is true."""
    tls_name: str = ""
    """Name that the relay's certificate must have, which is also asked for (SNI); empty = `host`."""
    allow_plain: bool = False
    """Let mails with codes go to a `plain` relay whose addresses are all in private networks (RFC 1918, RFC 4193)."""
    helo_name: str = ""
    """Name with which the server introduces itself to the relay; empty = the domain of `email.from`."""
    envelope_from: str = ""
    """Address to which bounces go (MAIL FROM) without `email.bounce_address`; empty = the address of `email.from`."""
    username: str = ""
    """Username at the relay; empty = no login."""
    password_file: SecretFile = ""
    """File with the password at the relay; empty = no password."""
    token_command: tuple[str, ...] = ()
    """Program and arguments that print an access token for the login (XOAUTH2), run without a shell; empty = no token."""
    ca_file: AuthoritiesFile = ""
    """File with further certificate authorities (PEM) for this relay; empty = only those of the system."""
    timeout: Annotated[float, Meta(gt=0, le=300)] = 30.0
    """Maximum time to hand the whole mail to the relay, in seconds."""
    answer_timeout: Annotated[float, Meta(gt=0, le=3600)] = 600.0
    """Maximum time for the relay to accept the mail then, in seconds; if it is too short, mails arrive twice (RFC 5321)."""
    mails_per_connection: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Maximum number of mails over one connection, which waits five seconds for the next; 1 = a connection for each mail."""


class SendmailTransport(Section, frozen=True, tag_field="transport", tag="sendmail"):
    """A program on this machine that takes a mail on its standard input, as sendmail does."""

    command: tuple[str, ...] = ("/usr/sbin/sendmail", "-i")
    """Program and arguments, run without a shell; the server adds `-f SENDER -- RECIPIENT`."""
    envelope_from: str = ""
    """Address to which bounces go without `email.bounce_address`; empty = the address of `email.from`."""
    timeout: Annotated[float, Meta(gt=0, le=3600)] = 60.0
    """Maximum time for the program, in seconds. A program that is killed may have sent the mail."""


class FileTransport(Section, frozen=True, tag_field="transport", tag="file"):
    """Writes each mail to an `.eml` file. For tests and dry runs."""

    directory: NewFolder
    """Folder of the files; it is created if it does not exist."""


class MailboxTransport(Section, frozen=True, tag_field="transport", tag="mailbox"):
    """Keeps mails in the database and shows them under `/mailbox/`. For development only."""


EmailTransport = SmtpTransport | SendmailTransport | FileTransport | MailboxTransport


def relay_problems(place: str, via: EmailTransport, *, public: bool) -> Iterator[Problem]:
    """Yield the unsafe values of one relay; `public` is whether other machines can reach the server."""
    if isinstance(via, SmtpTransport):
        yield from _relay(place, via)
    if isinstance(via, SendmailTransport):
        yield from _program(f"{place}.command", via.command)
        yield from _mailbox(f"{place}.envelope_from", via.envelope_from)
    if isinstance(via, MailboxTransport) and public:
        yield Problem(place, "shows all mails to everybody who can reach the server: use smtp")
    if isinstance(via, FileTransport) and not via.directory:
        yield Problem(place, "has no directory")


def _relay(place: str, via: SmtpTransport) -> Iterator[Problem]:
    trouble = _why_no_host(via.host)
    if trouble:
        yield Problem(f"{place}.host", trouble)
        return
    if via.tls == "plain" and not is_loopback(via.host) and not _may_be_plain(via):
        yield Problem(place, f'would send codes to {via.host} unencrypted: use tls = "starttls" or "tls"')
    elif via.port in _IMPLICIT and via.tls != "tls":
        yield Problem(place, f'port {via.port} expects TLS from the start: set tls = "tls", or port = 587')
    elif via.port in _EXPLICIT and via.tls == "tls":
        yield Problem(place, f'port {via.port} does not start with TLS: set tls = "starttls", or port = 465')
    yield from _login(place, via)
    yield from _names(place, via)


def _may_be_plain(via: SmtpTransport) -> bool:
    """May this relay get mails unencrypted? The addresses of a name are checked at every connection."""
    try:
        return via.allow_plain and is_private(ip_address(via.host))
    except ValueError:
        return via.allow_plain


def _login(place: str, via: SmtpTransport) -> Iterator[Problem]:
    if via.token_command:
        yield from _program(f"{place}.token_command", via.token_command)
        if not via.username or via.password_file:
            yield Problem(place, "needs username with token_command, and no password_file")
        if via.tls == "plain" and not is_loopback(via.host):
            yield Problem(place, "would send a token unencrypted: use password_file, or TLS")
    elif bool(via.username) != bool(via.password_file):
        yield Problem(place, "needs both username and password_file, or neither")


def _names(place: str, via: SmtpTransport) -> Iterator[Problem]:
    if via.allow_plain and via.tls != "plain":
        yield Problem(f"{place}.allow_plain", 'has no effect: tls is not "plain"')
    if via.tls_name and via.tls == "plain":
        yield Problem(f"{place}.tls_name", 'has no effect: tls is "plain"')
    if via.tls_name and not _is_name(via.tls_name):
        yield Problem(f"{place}.tls_name", f"{via.tls_name!r} is not a host name in ASCII or an IP address")
    if via.helo_name and not (_is_name(via.helo_name) or _LITERAL.fullmatch(via.helo_name)):
        yield Problem(
            f"{place}.helo_name", f"{via.helo_name!r} is not a host name in ASCII or an address like [192.0.2.1]"
        )
    yield from _mailbox(f"{place}.envelope_from", via.envelope_from)


def _mailbox(place: str, address: str) -> Iterator[Problem]:
    if address and not re.fullmatch(MAILBOX, address):
        yield Problem(place, "is not an email address alone")


def _program(place: str, command: tuple[str, ...]) -> Iterator[Problem]:
    if not command or not command[0].startswith("/") or "\0" in "".join(command):
        yield Problem(place, "does not begin with the absolute path of a program")
    elif not (Path(command[0]).is_file() and os.access(command[0], os.X_OK)):
        yield Problem(place, f"{command[0]} is not a program that this user may run")


def _is_name(host: str) -> bool:
    return bool(_RELAY.fullmatch(host)) or is_address(f"[{host}]")


def _why_no_host(host: str) -> str | None:
    """Why this is not the host of a relay, and what to write instead; None if it is."""
    scheme, separator, _ = host.partition("://")
    if separator:
        wanted = {"smtps": "tls", "smtp": "starttls"}.get(scheme.lower())
        advice = f' and tls = "{wanted}"' if wanted else ""
        return f"{host!r} is a URL: write the name alone{advice}"
    if host.startswith("[") and host.endswith("]"):
        return f"{host!r} has brackets: write the address alone"
    if _is_name(host):
        return None
    if match := _WITH_PORT.fullmatch(host):
        return (
            f'{host!r} has a port in it: write host = "{match["host"].strip("[]")}" and port = {match["port"] or "…"}'
        )
    return f"{host!r} is not a host name in ASCII or an IP address"
