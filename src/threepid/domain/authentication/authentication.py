"""The authentication of one request, as endpoints hand it to the domain.

https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api
"""

from msgspec.structs import replace

from threepid.domain.authentication.grants import Grant
from threepid.domain.authentication.stages import Request
from threepid.domain.authentication.uia import Uia
from threepid.domain.validation.purposes import Consumer
from threepid.spec.uia import AuthData, Flow


class Authentication:
    """The authentication of one request: its `auth`, its operation and its subject."""

    def __init__(self, uia: Uia, request: Request, auth: AuthData | None) -> None:
        """`uia` collects the stages; `request` offers no flows yet."""
        self._uia = uia
        self._request = request
        self._auth = auth

    @property
    def user_id(self) -> str | None:
        """The user ID of the request's access token, if there is one."""
        return self._request.user_id

    @property
    def device_id(self) -> str | None:
        """The device ID of the request's access token, if there is one."""
        return None if self._request.subject is None else self._request.subject.device_id

    @property
    def is_recalled(self) -> bool:
        """Did the client leave out the body, so that the first one of the session replaces it?"""
        return self._request.recalled is not None

    async def result(self) -> str | None:
        """The result of the session if it was finished before, so that its request is not checked again; otherwise None."""
        return await self._uia.result_of(self._request.task, self._auth)

    async def require(self, flows: tuple[Flow, ...], *, consumer: Consumer = Consumer.REGISTER_STAGE) -> Grant:
        """The permission when one of `flows` is complete. Raises AuthenticationRequiredError (401) until then.

        `consumer` uses up the validation sessions of the stages that prove an address. Raises Forbidden, and deletes the
        session, if the request has changed.
        """
        return await self._uia.authenticate(replace(self._request, flows=flows, consumer=consumer), self._auth)
