"""What pages may know of an authentication session, and which of its stages they may complete."""

from enum import Enum
from typing import Any

from msgspec import Struct

from threepid.domain.authentication.stages import MEDIA
from threepid.domain.origin import Origin
from threepid.domain.validation.sessions import Purpose
from threepid.spec.uia import Flow, Operation, Stage


class Page(Enum):
    """Whether a stage may be completed on a page of ours."""

    OPEN = "open"
    NONE = "none"
    """Whoever began the session gets a new password or the end of an account, and may be a stranger to its owner."""
    UNNAMED = "unnamed"
    """Whose address it would become is not settled yet."""


class View(Struct, frozen=True):
    """An authentication session as a page shows it. `purpose` is that of validation sessions for its stages."""

    operation: Operation
    user_id: str | None
    """Who began it, where somebody was logged in."""
    account: str | None
    """The account that it is about, if that is settled: it cannot change any more."""
    flows: tuple[Flow, ...]
    completed: tuple[Stage, ...]
    params: dict[str, Any]
    purpose: Purpose
    origin: Origin
    """Who began it."""

    @property
    def is_registration(self) -> bool:
        """Is it about a new account?"""
        return self.purpose is Purpose.REGISTER and self.user_id is None

    def page_of(self, stage: Stage) -> Page:
        """Whether `stage` may be completed on a page."""
        if stage not in MEDIA or self.user_id is not None:
            return Page.OPEN
        if not self.is_registration:
            return Page.NONE
        return Page.OPEN if self.account or stage in self.completed else Page.UNNAMED
