"""`[audit]`: its settings."""

from typing import Annotated, Literal

from msgspec import Meta

from threepid.config.section import Section


class Audit(Section, frozen=True):
    """`[audit]`: the log of what happens to accounts."""

    addresses: Literal["masked", "hashed"] = "masked"
    """Form of email addresses and phone numbers in new entries: shortened (`a***@example.com`), or a keyed hash."""
    retention_days: Annotated[int, Meta(ge=1, le=36_500)] = 400
    """Days after which entries are deleted."""
