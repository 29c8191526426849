"""A visit to the fallback page of a stage of User-Interactive Authentication."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from threepid.domain.authentication.views import View
from threepid.i18n import Text
from threepid.spec.uia import Operation
from threepid.web.render import Pages

PURPOSES: Final[Mapping[Operation, Text]] = {
    Operation.REGISTER: Text("Your app needs this to create an account."),
    Operation.CHANGE_PASSWORD: Text("Your app needs this to set a new password."),
    Operation.DEACTIVATE: Text("Your app needs this to close your account for good."),
    Operation.DELETE_DEVICE: Text("Your app needs this to sign out one of your devices."),
    Operation.DELETE_DEVICES: Text("Your app needs this to sign out some of your devices."),
    Operation.ADD_THREEPID: Text("Your app needs this to add an email address or phone number to your account."),
    Operation.GET_LOGIN_TOKEN: Text("Your app needs this to sign in on another device."),
}
"""The sentences in which the pages name the operation to authenticate."""


class Visit(Struct, frozen=True, kw_only=True):
    """A visit to the page of `stage`, for the authentication session `session`."""

    pages: Pages
    session: str
    stage: str
    view: View
    client: str
    """The visitor's IP address."""
    form_token: str = ""
    """The token that forms must send; '' where the session ID in the address is enough."""

    @property
    def again(self) -> str:
        """The address of the stage's first page."""
        return f"?session={quote(self.session, safe='')}"

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
    def purpose(self) -> Text:
        """The sentence that says what the person is about to authorize."""
        return PURPOSES[self.view.operation]
