"""The caller and its request: the first argument of every handler."""

from typing import Any, ClassVar

from msgspec import UNSET, Struct, UnsetType

from threepid.config import Config
from threepid.domain.accounts.devices import Device, Requester
from threepid.domain.authentication.authentication import Authentication
from threepid.domain.authentication.grants import Grant
from threepid.domain.authentication.stages import Request as UiaRequest
from threepid.domain.authentication.stages import Subject, Task
from threepid.domain.operators.operator import Operator
from threepid.domain.origin import Origin, of_caller
from threepid.domain.services import Homeserver, IdentityServer, Services
from threepid.i18n import negotiation
from threepid.spec.endpoint import Auth, Endpoint
from threepid.spec.signing import SignedRequest
from threepid.spec.uia import AuthData, Flow


class Call(Struct, frozen=True, kw_only=True):
    """A call that needs no authentication."""

    auth: ClassVar[frozenset[Auth]] = frozenset({Auth.NONE})

    services: Services
    endpoint: Endpoint
    client: str
    """The caller's IP address."""
    user_agent: str = ""
    """The `User-Agent` header."""
    accept_language: str = ""
    """The `Accept-Language` header."""
    raw: dict[str, Any]
    """The body as received: User-Interactive Authentication is bound to it."""
    recalled: bytes | None = None
    """The MAC of the authentication session's first body, if the client left the body out and the server restored it."""

    @property
    def config(self) -> Config:
        """The server's configuration."""
        return self.services.context.config

    @property
    def homeserver(self) -> Homeserver:
        """The homeserver role; its endpoints are served only where it is configured."""
        return self.services.require_homeserver()

    @property
    def identity(self) -> IdentityServer:
        """The identity server role; its endpoints are served only where it is configured."""
        return self.services.require_identity()

    def authentication(self, auth: AuthData | UnsetType, *, about: str | None = None) -> Authentication:
        """The User-Interactive Authentication of this call.

        `about` is the object that the path names, if any: the grant is for that object alone.
        """
        if self.endpoint.uia is None:
            raise TypeError(f"{self.endpoint} declares no operation of User-Interactive Authentication")
        known = self.endpoint.body_names
        request = UiaRequest(
            task=Task(self.endpoint.uia, about),
            subject=self._subject(),
            body={name: value for name, value in self.raw.items() if name != "auth"},
            kept={name: value for name, value in self.raw.items() if name != "auth" and name in known},
            recalled=self.recalled,
            client=self.client,
            user_agent=self.user_agent,
            origin=self.origin,
        )
        return Authentication(self.homeserver.uia, request, None if auth is UNSET else auth)

    async def authenticate(
        self, auth: AuthData | UnsetType, flows: tuple[Flow, ...], *, about: str | None = None
    ) -> Grant:
        """The grant of one of `flows`; raises AuthenticationRequiredError (401) until one is complete. `about`: as above."""
        return await self.authentication(auth, about=about).require(flows)

    def device(
        self,
        device_id: str | UnsetType,
        display_name: str | UnsetType,
        *,
        refreshes: bool,
    ) -> Device:
        """The device that logs in by this call."""
        return Device(
            device_id=device_id or None,
            display_name=display_name or None,
            refreshes=refreshes,
            client=self.client,
            user_agent=self.user_agent,
        )

    @property
    def origin(self) -> Origin:
        """Time, network and user agent of this request, as its messages show them."""
        return of_caller(self.services.context.clock.now(), self.client, self.user_agent)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that the caller accepts, best first."""
        return negotiation.wanted(self.accept_language)

    def _subject(self) -> Subject | None:
        return None


class MaybeUserCall(Call, frozen=True, kw_only=True):
    """A call that may have an access token."""

    auth: ClassVar[frozenset[Auth]] = frozenset({Auth.OPTIONAL_ACCESS_TOKEN})

    requester: Requester | None

    @property
    def user_id(self) -> str:
        """The user ID of the caller, or '' without an access token."""
        return self.requester.user_id if self.requester else ""

    def _subject(self) -> Subject | None:
        return Subject(self.requester.user_id, self.requester.device_id) if self.requester else None


class UserCall(Call, frozen=True, kw_only=True):
    """A call with the access token of an account."""

    auth: ClassVar[frozenset[Auth]] = frozenset({Auth.ACCESS_TOKEN})

    requester: Requester
    token: str

    @property
    def user_id(self) -> str:
        """The user ID of the caller."""
        return self.requester.user_id

    def _subject(self) -> Subject | None:
        return Subject(self.requester.user_id, self.requester.device_id)


class SignedCall(Call, frozen=True, kw_only=True):
    """A call that another server may have signed."""

    auth: ClassVar[frozenset[Auth]] = frozenset({Auth.OPTIONAL_SIGNATURE})

    authorization: str | None
    """The `Authorization` header, not yet verified."""
    uri: str
    """Path and query as sent, still percent-encoded."""

    @property
    def signed(self) -> SignedRequest:
        """The request that a valid signature covers."""
        return SignedRequest(self.endpoint.method, self.uri, self.raw)


class BounceCall(Call, frozen=True, kw_only=True):
    """A call of the operator's mail server, with the secret for reports."""

    auth: ClassVar[frozenset[Auth]] = frozenset({Auth.BOUNCE_SECRET})


class HomeserverCall(Call, frozen=True, kw_only=True):
    """A call of a homeserver that has proved that it shares our secret."""

    auth: ClassVar[frozenset[Auth]] = frozenset({Auth.HOMESERVER})

    takes_device_id: bool
    """Does it want the device of a token beside its scope?"""


class OperatorCall(Call, frozen=True, kw_only=True):
    """A call with an operator token that has the scope of the endpoint."""

    auth: ClassVar[frozenset[Auth]] = frozenset({Auth.OPERATOR_TOKEN})

    operator: Operator


class IdentityCall(Call, frozen=True, kw_only=True):
    """A call with an access token of the identity server."""

    auth: ClassVar[frozenset[Auth]] = frozenset({Auth.IDENTITY_TOKEN})

    user_id: str
    token: str
