"""Single sign-on of the old login: the app's browser is sent to the pages on which people sign in.

https://spec.matrix.org/latest/client-server-api/#sso-client-loginauthentication
"""

from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlencode

from msgspec import UNSET, Meta, Struct, UnsetType, field

from threepid.api.call import Call
from threepid.http.exchange import Answer, Headers
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint
from threepid.spec.sso import PAGE

_PATH: Final = "/login/sso/redirect"
_FAMILIES: Final = ("r0", "v3", "unstable")


class SsoQuery(Struct, frozen=True):
    """Where the app waits, and whether its person wants to sign in or to create an account."""

    redirect_url: Annotated[str, Meta(min_length=1)] = field(name="redirectUrl")
    action: str | UnsetType = UNSET
    """`login`, or `register` to create an account."""
    draft_action: str | UnsetType = field(name="org.matrix.msc3824.action", default=UNSET)
    """The draft of `action`."""


# Element for iOS requested the path with a trailing slash until August 2023.
@endpoint(
    "GET", (*client(_PATH, *_FAMILIES), *client(f"{_PATH}/", *_FAMILIES)), auth=Auth.NONE, status=HTTPStatus.FOUND
)
async def redirect_to_sso(call: Call, query: SsoQuery) -> Answer:
    """Send a browser to the page that signs an app in. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3loginssoredirect."""
    # The page checks the address, because the person reads what the page answers.
    wanted = {"redirectUrl": query.redirect_url}
    action = query.draft_action if query.action is UNSET else query.action
    if action is not UNSET:
        wanted["action"] = action
    target = f"{call.config.server.public_base_url.rstrip('/')}{PAGE}?{urlencode(wanted)}"
    return Answer(HTTPStatus.FOUND, b"", headers=Headers(("Location", target), ("Cache-Control", "no-store")))


@endpoint(
    "GET", client(f"{_PATH}/{{idp_id}}", *_FAMILIES), auth=Auth.NONE, errors=(errors.NotFound,), status=HTTPStatus.FOUND
)
async def redirect_to_idp(call: Call, query: SsoQuery, idp_id: str) -> Answer:  # noqa: ARG001 - no ID is known
    """Answer that this server has no identity providers. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3loginssoredirectidpid."""
    raise errors.NotFound


ENDPOINTS = (redirect_to_sso, redirect_to_idp)
