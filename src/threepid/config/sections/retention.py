"""`[retention]`: its settings."""

from typing import Annotated

from msgspec import Meta

from threepid.config.section import Section


class Retention(Section, frozen=True):
    """`[retention]`: when the server deletes what it no longer needs."""

    messages_days: Annotated[int, Meta(ge=1, le=3_650)] = 30
    """Days after which finished messages are deleted: recipient, kind and outcome. Their text is deleted when they are sent."""
    suppressions_days: Annotated[int, Meta(ge=1, le=3_650)] = 400
    """Days after the latest bounce or complaint until an address gets mails again."""
