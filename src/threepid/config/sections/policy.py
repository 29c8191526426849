"""`[policy]`: its settings, and what cannot be safe about them."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

from msgspec import Meta

from threepid.config.problem import HOST, Problem
from threepid.config.section import PublicFile, Section

_DOMAINS: Final = re.compile(rf"(?:\*\.)?{HOST}")
_SHORT_PASSWORD: Final = 8


class Policy(Section, frozen=True):
    """`[policy]`: what is allowed to be a contact or a password."""

    password_min_length: Annotated[int, Meta(ge=1, le=512)] = 8
    """Characters that a new password has at least."""
    password_min_classes: Annotated[int, Meta(ge=1, le=4)] = 1
    """Of lower-case letters, capitals, digits and others, how many a new password has at least."""
    passwords_denied_file: PublicFile = ""
    """A file of passwords that nobody may choose, one a line, compared without regard to case."""
    reset_contact_max_age_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    """A contact that was confirmed longer ago cannot recover the account; 0 = any can."""
    email_domains_denied_file: PublicFile = ""
    """A file of further domains (and of those below them) of which addresses may not be contacts, one a line."""
    register_email_domains_allowed: tuple[str, ...] = ()
    """Like `email_domains_allowed`, for new accounts only; empty = no further rule."""
    contacts_per_account: Annotated[int, Meta(ge=1, le=10_000)] = 20
    """Contacts that an account has at most."""
    changes_allowed: bool = True
    """May people change their contacts?"""
    email_domains_allowed: tuple[str, ...] = ()
    """Domains of which e-mail addresses may be contacts, also as `*.example.org`; empty = all."""
    email_domains_denied: tuple[str, ...] = ()
    """Domains of which e-mail addresses may not be contacts, also as `*.example.org`."""


def problems(policy: Policy) -> Iterator[Problem]:
    """What cannot be safe in `[policy]`."""
    for key in ("email_domains_allowed", "email_domains_denied", "register_email_domains_allowed"):
        for pattern in getattr(policy, key):
            # Addresses are compared with their domain as A-labels: anything else would silently never match.
            if not _DOMAINS.fullmatch(pattern):
                yield Problem(
                    f"[policy] {key}", f"{pattern!r} is not a domain in ASCII or a pattern like *.example.org"
                )


def warnings(policy: Policy) -> Iterator[Problem]:
    """What starts all the same in `[policy]`, and should be looked at."""
    length = policy.password_min_length
    if length < _SHORT_PASSWORD:
        yield Problem(
            "[policy] password_min_length",
            f"passwords of {length} characters are guessed: set {_SHORT_PASSWORD} or more",
        )
