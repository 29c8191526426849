"""`[policy]`: its settings, and the rules that reject unsafe values."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

from msgspec import Meta

from threepid.config.problem import HOST, Problem
from threepid.config.section import PublicFile, Section

_DOMAINS: Final = re.compile(rf"(?:\*\.)?{HOST}")
_SHORT_PASSWORD: Final = 8


class Policy(Section, frozen=True):
    """`[policy]`: rules for contacts and passwords."""

    password_min_length: Annotated[int, Meta(ge=1, le=512)] = 8
    """Minimum length of a new password, in characters."""
    password_min_classes: Annotated[int, Meta(ge=1, le=4)] = 1
    """Minimum number of character classes (lower case, upper case, digits, other) in a new password."""
    passwords_denied_file: PublicFile = ""
    """File of passwords that nobody may choose, one a line, ignoring case; empty = none."""
    reset_contact_max_age_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    """Maximum age, in days since it was confirmed, of a contact that can recover the account; 0 = any age."""
    email_domains_denied_file: PublicFile = ""
    """File of further email domains to reject, with their subdomains, one a line; empty = none."""
    register_email_domains_allowed: tuple[str, ...] = ()
    """Email domains accepted for new accounts, as in `email_domains_allowed`; empty = no further rule."""
    contacts_per_account: Annotated[int, Meta(ge=1, le=10_000)] = 20
    """Maximum number of contacts of an account."""
    changes_allowed: bool = True
    """Whether people may change their contacts."""
    email_domains_allowed: tuple[str, ...] = ()
    """Email domains that contacts may have, also as `*.example.org`; empty = all."""
    email_domains_denied: tuple[str, ...] = ()
    """Email domains that contacts may not have, also as `*.example.org`; empty = none."""


def problems(policy: Policy) -> Iterator[Problem]:
    """Yield the unsafe values in `[policy]`."""
    for key in ("email_domains_allowed", "email_domains_denied", "register_email_domains_allowed"):
        for pattern in getattr(policy, key):
            # Addresses are compared with their domain as A-labels: any other pattern would never match, silently.
            if not _DOMAINS.fullmatch(pattern):
                yield Problem(
                    f"[policy] {key}", f"{pattern!r} is not a domain in ASCII or a pattern like *.example.org"
                )


def warnings(policy: Policy) -> Iterator[Problem]:
    """Yield the values in `[policy]` that are accepted with a warning."""
    length = policy.password_min_length
    if length < _SHORT_PASSWORD:
        yield Problem(
            "[policy] password_min_length",
            f"passwords of {length} characters are easy to guess: set {_SHORT_PASSWORD} or more",
        )
