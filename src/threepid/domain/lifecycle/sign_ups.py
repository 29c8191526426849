"""Registration in a browser: the stages of a registration, one page after the other.

The authentication session is known to the person's browser alone. It keeps username and password, encrypted under its ID.
"""

from typing import Any, Final

from msgspec import Struct

from threepid.domain.authentication import flows
from threepid.domain.authentication.authentication import Authentication
from threepid.domain.authentication.stages import Request, Task
from threepid.domain.authentication.uia import Uia
from threepid.domain.authentication.views import View
from threepid.domain.context import Context
from threepid.domain.lifecycle.registration import Registration
from threepid.domain.origin import Origin
from threepid.i18n import Text
from threepid.spec.errors import NotFound
from threepid.spec.uia import DUMMY, AuthData, AuthenticationRequiredError, Flow, Operation, Stage

_TASK: Final = Task(Operation.REGISTER)
_JUST_SO: Final[tuple[Flow, ...]] = ((DUMMY,),)


class Visitor(Struct, frozen=True):
    """A browser that is not signed in."""

    client: str
    """The IP address."""
    user_agent: str
    origin: Origin
    languages: tuple[str, ...]
    """The languages that the person has chosen or the browser accepts, best first."""


class SignUp(Struct, frozen=True):
    """What has come of a registration: the secret of the new account's browser session, or stages to complete."""

    token: str = ""
    session: str = ""
    """The ID of the authentication session."""

    def __repr__(self) -> str:
        """Leave out the contents, because a secret must not get into a log."""
        return f"{type(self).__name__}()"


class SignUps:
    """The registrations in browsers."""

    def __init__(self, context: Context, registration: Registration, uia: Uia) -> None:
        """`registration` creates the accounts, `uia` keeps the stages."""
        self._context = context
        self._registration = registration
        self._uia = uia

    async def begin(self, username: str, password: str, visitor: Visitor) -> SignUp:
        """Create the account at once if the configuration asks for nothing more; otherwise begin with the stages.

        Raises Forbidden if registration is closed, InvalidUsername, UserInUse, Exclusive, WeakPassword, InvalidParam, TooLarge
        and LimitExceeded.
        """
        body = {"username": username, "password": password}
        just_so = flows.of_registration(self._context.config) == _JUST_SO
        request = Request(task=_TASK, subject=None, body=body, kept=body, client=visitor.client, origin=visitor.origin)
        try:
            token = await self._register(body, request, AuthData(type=DUMMY) if just_so else None, visitor)
        except AuthenticationRequiredError as required:
            return SignUp(session=required.session)
        return SignUp(token=token)

    async def view(self, session: str) -> View | None:
        """A registration as pages show it; None if there is none, or it is finished or over."""
        view = await self._uia.view(session) if session else None
        return view if view is not None and view.is_registration and view.account else None

    async def account_of(self, session: str) -> str | None:
        """The account that a registration has created; None if it is not finished. The session ID alone signs nobody in."""
        return await self._uia.result_of(_TASK, AuthData(session=session)) if session else None

    async def finish(self, session: str, visitor: Visitor) -> SignUp:
        """Create the account if all stages are complete. The dummy stage is completed by this.

        Raises NotFound without such a registration, the errors of `Registration.register_in_browser`, and
        AuthenticationRequiredError if a stage is missing.
        """
        view = await self.view(session)
        recalled = await self._uia.recall(Operation.REGISTER, session)
        if view is None or recalled is None:
            raise NotFound(Text("This registration has taken too long, or is finished."))
        if DUMMY in following(view):
            await self._uia.complete(session, AuthData(type=DUMMY), client=visitor.client)
        request = Request(
            task=_TASK,
            subject=None,
            body=recalled.fields,
            kept=recalled.fields,
            recalled=recalled.request_mac,
            client=visitor.client,
            origin=visitor.origin,
        )
        return SignUp(token=await self._register(recalled.fields, request, AuthData(session=session), visitor))

    async def _register(self, body: dict[str, Any], request: Request, auth: AuthData | None, visitor: Visitor) -> str:
        return await self._registration.register_in_browser(
            str(body.get("username", "")),
            str(body.get("password", "")),
            Authentication(self._uia, request, auth),
            client=visitor.client,
            user_agent=visitor.user_agent,
            languages=visitor.languages,
        )


def following(view: View) -> tuple[Stage, ...]:
    """The stages that may come next."""
    done = len(view.completed)
    return tuple(dict.fromkeys(flow[done] for flow in view.flows if flow[:done] == view.completed and len(flow) > done))
