"""Somebody at the page of a stage of User-Interactive Authentication."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from threepid.domain.authentication.views import View
from threepid.spec.uia import Operation

PURPOSES: Final[Mapping[Operation, str]] = {
    Operation.REGISTER: "open an account",
    Operation.CHANGE_PASSWORD: "set a new password",
    Operation.DEACTIVATE: "close your account for good",
    Operation.DELETE_DEVICE: "log out one of your devices",
    Operation.DELETE_DEVICES: "log out some of your devices",
    Operation.ADD_THREEPID: "add an address or a phone number to your account",
    Operation.GET_LOGIN_TOKEN: "log in on another device",
}
"""What the operations that need authentication are for, in the words of the pages."""


class Visit(Struct, frozen=True, kw_only=True):
    """A visit to the page of `stage`, for the authentication session `session`."""

    session: str
    stage: str
    view: View
    client: str
    """The visitor's IP address."""
    languages: tuple[str, ...]
    """Those that the browser asks for, the dearest first."""

    @property
    def done(self) -> bool:
        """Is the stage complete already?"""
        return self.stage in self.view.completed

    @property
    def is_next(self) -> bool:
        """Does the stage come next in a flow?"""
        following = (*self.view.completed, self.stage)
        return any(flow[: len(following)] == following for flow in self.view.flows)

    @property
    def purpose(self) -> str:
        """What the person is about to do, '' if there are no words for it: nobody should confirm they know not what."""
        return PURPOSES[self.view.operation]
