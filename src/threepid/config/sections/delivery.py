"""`[email]` and `[sms]`: their settings, and the rules that reject unsafe values."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

from msgspec import Meta, field

from threepid.config.problem import MAILBOX, Problem
from threepid.config.section import Example, Section
from threepid.config.sections.gateways import (
    SmsTransport,
    country_problems,
    gateway_name,
    gateway_problems,
    takes,
)
from threepid.config.sections.relays import EmailTransport, relay_problems

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


class Sms(Section, frozen=True):
    """`[sms]`: how SMS are sent. Absent = no phone numbers."""

    via: Annotated[
        tuple[SmsTransport, ...],
        Example('[{ transport = "http", url = "https://…", body = "…", secret_file = "…" }]'),
    ]
    """Gateways, in the order in which they are tried."""
    countries: tuple[
        Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z", description="the ISO code of a country in capitals, such as DE")],
        ...,
    ] = ()
    """ISO codes of the countries to whose numbers SMS are sent; empty = none."""


def gateway_of(settings: Sms, region: str) -> str:
    """The gateway that is tried first for numbers of the country `region`; '' if there is none."""
    for via in settings.via:
        if takes(via, region):
            return gateway_name(via)
    return ""


def email_problems(email: Email, *, public: bool) -> Iterator[Problem]:
    """Yield the unsafe values in `[email]`; `public` is whether other machines can reach the server."""
    for index, via in enumerate(email.via):
        yield from relay_problems(f"[email] via[{index}]", via, public=public)
    if not email.via:
        yield Problem("[email] via", "has no relay")
    if not _SENDER.fullmatch(email.sender):
        yield Problem("[email] from", "is not `Name <address>`")


def sms_problems(sms: Sms, *, public: bool) -> Iterator[Problem]:
    """Yield the unsafe values in `[sms]`; `public` is whether other machines can reach the server."""
    if not sms.via:
        yield Problem("[sms] via", "has no gateway")
    yield from country_problems("[sms] countries", sms.countries)
    for index, via in enumerate(sms.via):
        yield from gateway_problems(f"[sms] via[{index}]", via, public=public)
    for country in sms.countries:
        if sms.via and not any(takes(via, country) for via in sms.via):
            yield Problem("[sms] countries", f"no gateway takes {country}")
