"""The purposes of validation sessions, and what uses sessions of each purpose up."""

from enum import Enum, StrEnum
from typing import Final

from threepid.storage.validations import Session


class Purpose(StrEnum):
    """What a session was opened for."""

    REGISTER = "register"
    ADD = "add"
    RESET = "reset"
    WEB_RESET = "web_reset"
    """A new password that is chosen on our own pages, by whoever has the code or the link."""
    CONFIRM = "confirm"
    """The proof that whoever uses a browser is the owner of the account that is signed in there."""
    IDENTITY = "identity"


RESETS: Final = (Purpose.RESET, Purpose.WEB_RESET)
OF_PAGES: Final = (Purpose.WEB_RESET, Purpose.CONFIRM)
"""Purposes of sessions that our own pages open: no API accepts their codes, and no link validates them."""


class Consumer(Enum):
    """What can use a session up, and the purposes that it accepts."""

    POST_THREEPID = frozenset({Purpose.ADD, Purpose.IDENTITY})
    ADD_THREEPID = frozenset({Purpose.ADD})
    REGISTER_STAGE = frozenset({Purpose.REGISTER, Purpose.IDENTITY})
    RESET_STAGE = frozenset({Purpose.RESET})
    RESET_PAGE = frozenset({Purpose.WEB_RESET})
    CONFIRM_PAGE = frozenset({Purpose.CONFIRM})
    BIND = frozenset({Purpose.IDENTITY})

    def takes(self, session: Session) -> bool:
        """Does this consumer accept the session's purpose?"""
        return session.purpose in self.value
