"""`[email]` and `[sms]`: their settings, and the rules that reject unsafe values."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, field

from threepid.config.problem import HOST, MAILBOX, Problem
from threepid.config.section import Example, Folder, SecretFile, Section
from threepid.config.sections.gateways import (
    SmsTransport,
    country_problems,
    gateway_name,
    gateway_problems,
    route,
)
from threepid.config.sections.relays import EmailTransport, relay_problems

_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_BOUNCES: Final = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*@{HOST}")
MAX_BOUNCE_LOCAL: Final = 17
"""A signature adds 47 characters to a local part, which may have 64. https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.1"""
_SENDER: Final = re.compile(rf"{MAILBOX}|[^<>\x00-\x1f\x7f-\x9f]*<{MAILBOX}>")


class Email(Section, frozen=True):
    """`[email]`: how mails are sent. Absent = no email."""

    sender: Annotated[str, Example('"Example <noreply@example.org>"')] = field(name="from")
    """From header of mails: `Name <address>`."""
    via: Annotated[
        tuple[EmailTransport, ...],
        Example('[{ transport = "smtp", host = "mail.example.org", username = "…", password_file = "…" }]'),
    ]
    """Relays, in the order in which they are tried."""
    bounce_address: Annotated[str, Example('"bounces@example.org"')] = ""
    """Address to which undeliverable mails return (MAIL FROM): each mail adds `+` and a signature; empty = `envelope_from`."""
    bounce_maildir: Folder = ""
    """Maildir in which mails to `bounce_address` arrive, and which the server empties; empty = none."""
    bounce_secret_file: SecretFile = ""
    """File with the secret for `POST /_threepid/bounces`, at least 16 characters; empty = no such endpoint."""


class Sms(Section, frozen=True):
    """`[sms]`: how SMS are sent. Absent = no phone numbers."""

    via: Annotated[
        tuple[SmsTransport, ...],
        Example('[{ transport = "http", url = "https://…", body = "…", secret_file = "…" }]'),
    ]
    """Gateways, in the order in which they are tried: for each number those that name its country, then those for all."""
    countries: tuple[
        Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z", description="the ISO code of a country in capitals, such as DE")],
        ...,
    ] = ()
    """ISO codes of the countries to whose numbers SMS are sent; empty = none."""


def gateway_of(settings: Sms, region: str) -> str:
    """The gateway that is tried first for numbers of the country `region`; '' if there is none."""
    return next((gateway_name(settings.via[index]) for index in route(settings.via, region)), "")


def email_problems(email: Email, *, public: bool) -> Iterator[Problem]:
    """Yield the unsafe values in `[email]`; `public` is whether other machines can reach the server."""
    for index, via in enumerate(email.via):
        yield from relay_problems(f"[email] via[{index}]", via, public=public)
    if not email.via:
        yield Problem("[email] via", "has no relay")
    if not _SENDER.fullmatch(email.sender):
        yield Problem("[email] from", "is not `Name <address>`")
    yield from _bounce_problems(email)


def _bounce_problems(email: Email) -> Iterator[Problem]:
    local = email.bounce_address.rpartition("@")[0]
    if not email.bounce_address:
        for key, value in (("bounce_maildir", email.bounce_maildir), ("bounce_secret_file", email.bounce_secret_file)):
            if value:
                yield Problem(f"[email] {key}", "has no effect without bounce_address: set it")
    elif not _BOUNCES.fullmatch(email.bounce_address):
        yield Problem("[email] bounce_address", "is not an address in plain ASCII, such as bounces@example.org")
    elif len(local) > MAX_BOUNCE_LOCAL:
        yield Problem(
            "[email] bounce_address",
            f"has more than {MAX_BOUNCE_LOCAL} characters before the @: with the signature, an address would be too long",
        )
    for folder in ("new", "cur") if email.bounce_maildir else ():
        if Path(email.bounce_maildir).is_dir() and not (Path(email.bounce_maildir) / folder).is_dir():
            yield Problem("[email] bounce_maildir", f"{email.bounce_maildir} is no maildir: it has no folder {folder}")


def sms_problems(sms: Sms, *, public: bool) -> Iterator[Problem]:
    """Yield the unsafe values in `[sms]`; `public` is whether other machines can reach the server."""
    if not sms.via:
        yield Problem("[sms] via", "has no gateway")
    yield from country_problems("[sms] countries", sms.countries)
    for index, via in enumerate(sms.via):
        yield from gateway_problems(f"[sms] via[{index}]", via, public=public)
    for country in sms.countries:
        if sms.via and not route(sms.via, country):
            yield Problem(
                "[sms] countries", f"no gateway serves {country}: add it to the countries of a gateway in via"
            )
