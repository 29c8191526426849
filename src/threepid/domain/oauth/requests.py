"""Authorization requests: what an app asks of a person, and where the answer goes.

https://spec.matrix.org/latest/client-server-api/#authorization-code-grant
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from threepid.domain.oauth.clients import Client
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam
from threepid.spec.oauth import pkce
from threepid.spec.oauth.clients import AUTHORIZATION_CODE
from threepid.spec.oauth.errors import InvalidRequest, OAuthError, UnauthorizedClient, UnsupportedResponseType
from threepid.spec.oauth.redirects import answer_uri, is_registered, policy_source, shown_target
from threepid.spec.oauth.scopes import Scope, parse_scope

_LONGEST_STATE: Final = 2_000
UNKNOWN_APP: Final = Text("We don't know the app that sent you here. Please go back to the app and try again.")
_FRAGMENT: Final = "fragment"
_MODES: Final = (_FRAGMENT, "query")


class Target(Struct, frozen=True):
    """Where the answer to a request goes: the app and its address were checked."""

    client: Client
    redirect_uri: str
    state: str | None
    in_fragment: bool
    issuer: str

    @property
    def shown(self) -> str:
        """The host or the private scheme of the address."""
        return shown_target(self.redirect_uri)

    @property
    def policy_source(self) -> str:
        """The Content-Security-Policy source of the address."""
        return policy_source(self.redirect_uri)

    def answer(self, **parameters: str) -> str:
        """The address with `parameters`, the app's state and our issuer, by which the app notices a mix-up.

        https://www.rfc-editor.org/rfc/rfc9207
        """
        state = {} if self.state is None else {"state": self.state}
        return answer_uri(self.redirect_uri, {**parameters, **state, "iss": self.issuer}, in_fragment=self.in_fragment)

    def refusal(self, error: OAuthError) -> str:
        """The address that tells the app of an error."""
        described = {"error_description": str(error.text)} if str(error.text) else {}
        return self.answer(error=error.errcode, **described)


class Wish(Struct, frozen=True):
    """What an app asks a person for, and the challenge that its code will be bound to."""

    target: Target
    scope: Scope
    challenge: str


def read_target(client: Client | None, parameters: Mapping[str, str], issuer: str) -> Target:
    """Where the answer to a request goes. Raises InvalidParam if the browser must not be sent anywhere."""
    given = _given(parameters)
    redirect_uri = given.get("redirect_uri", "")
    if client is None or not is_registered(redirect_uri, client.redirect_uris):
        raise InvalidParam(UNKNOWN_APP)
    state = given.get("state")
    if state is not None and len(state) > _LONGEST_STATE:
        raise InvalidParam(UNKNOWN_APP, cause="the state is too long")
    return Target(client, redirect_uri, state, given.get("response_mode") == _FRAGMENT, issuer)


def read_wish(target: Target, parameters: Mapping[str, str]) -> Wish:
    """What the app asks for. Raises OAuthError, which the app is told of."""
    given = _given(parameters)
    if given.get("response_mode", _FRAGMENT) not in _MODES:
        raise InvalidRequest("response_mode must be query or fragment.")
    if "response_type" not in given:
        raise InvalidRequest("response_type is missing.")
    if given["response_type"] != "code":
        raise UnsupportedResponseType("response_type must be code.")
    if not target.client.may_use(AUTHORIZATION_CODE):
        raise UnauthorizedClient("The client did not register for authorization_code.")
    challenge = given.get("code_challenge", "")
    if given.get("code_challenge_method") != pkce.METHOD or not pkce.is_challenge(challenge):
        raise InvalidRequest("code_challenge with code_challenge_method S256 is required.")
    return Wish(target, parse_scope(given.get("scope", "")), challenge)


def _given(parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters that have a value. One without counts as left out. https://www.rfc-editor.org/rfc/rfc6749#section-3.1."""
    return {name: value for name, value in parameters.items() if value}
