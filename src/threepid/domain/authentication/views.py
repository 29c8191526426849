"""What pages show of an authentication session, and which of its stages they may complete."""

from enum import Enum
from typing import Any

from msgspec import Struct

from threepid.domain.authentication.stages import MEDIA
from threepid.domain.origin import Origin
from threepid.domain.validation.purposes import Purpose
from threepid.spec.uia import Flow, Operation, Stage


class Page(Enum):
    """Whether a stage may be completed on a page of this server."""

    OPEN = "open"
    NONE = "none"
    """No: the session resets a password or deactivates an account, and a stranger may have begun it."""
    UNNAMED = "unnamed"
    """Not yet: the session does not name the account that would get the address."""


class View(Struct, frozen=True):
    """An authentication session as a page shows it. `purpose` is that of the validation sessions for its stages."""

    operation: Operation
    user_id: str | None
    """The user who began the session, if logged in."""
    account: str | None
    """The account that the session is for, once it cannot change any more."""
    flows: tuple[Flow, ...]
    completed: tuple[Stage, ...]
    params: dict[str, Any]
    purpose: Purpose
    origin: Origin
    """The origin of the request that began the session."""

    @property
    def is_registration(self) -> bool:
        """Is the session for a new account?"""
        return self.purpose is Purpose.REGISTER and self.user_id is None

    def page_of(self, stage: Stage) -> Page:
        """Whether `stage` may be completed on a page."""
        if stage not in MEDIA or self.user_id is not None:
            return Page.OPEN
        if not self.is_registration:
            return Page.NONE
        return Page.OPEN if self.account or stage in self.completed else Page.UNNAMED
