"""Requests of application services, which the homeserver beside us must answer although their paths come here.

A reverse proxy cannot tell them from those of people: only the body of a registration, or the token, says who it is. They go on
as they came, with the caller's own credentials.
https://spec.matrix.org/latest/application-service-api/#server-admin-style-permissions
"""

from collections.abc import Callable, Mapping
from typing import Final

from threepid.domain.services import Homeserver
from threepid.http.authentication import bearer_token
from threepid.http.exchange import Answer, Handle, Headers, Request
from threepid.http.parameters import parse_parameters
from threepid.spec.endpoint import Endpoint, Forwards
from threepid.spec.errors import MatrixError
from threepid.spec.strict_json import parse_object
from threepid.spec.uia import APPLICATION_SERVICE

_HEADERS: Final = ("authorization", "content-type", "user-agent")


class _Read:
    """A request whose body was read."""

    def __init__(self, request: Request, body: bytes) -> None:
        self._request = request
        self._body = body
        self.method = request.method
        self.path = request.path
        self.query_string = request.query_string

    @property
    def target(self) -> str:
        return self._request.target

    def header(self, name: str) -> str | None:
        return self._request.header(name)

    @property
    def is_from_proxy(self) -> bool:
        return self._request.is_from_proxy

    @property
    def client(self) -> str:
        return self._request.client

    async def body(self, limit: int) -> bytes:  # noqa: ARG002 - the limit was kept when it was read
        return self._body


def forwarding(
    homeserver: Homeserver,
    endpoint: Endpoint,
    handle: Handle,
    *,
    headers: Headers,
    fail: Callable[[Exception, str], Answer],
) -> Handle:
    """`handle`, but for what the homeserver must answer.

    `headers` are those of every answer of the API, and `fail` makes the answer of an error to the caller at an IP address.
    """

    async def answer(request: Request, variables: Mapping[str, str]) -> Answer:
        try:
            body = await request.body(endpoint.max_body)
            if not await _is_foreign(homeserver, endpoint, request, body):
                return await handle(_Read(request, body), variables)
            sent = {name: value for name in _HEADERS if (value := request.header(name)) is not None}
            sent["x-forwarded-for"] = request.client
            found = await homeserver.provisioning.forward(request.method, request.target, sent, body)
        except Exception as error:  # noqa: BLE001 - as for every other endpoint: nothing of it may reach the caller
            return fail(error, request.client)
        return Answer(found.status, found.body, found.headers.get("content-type", "application/json"), headers)

    return answer


async def _is_foreign(homeserver: Homeserver, endpoint: Endpoint, request: Request, body: bytes) -> bool:
    try:
        if endpoint.forwards is Forwards.APPLICATION_SERVICE_BODY:
            return bool(body) and parse_object(body).get("type") == APPLICATION_SERVICE
        token = bearer_token(request, parse_parameters(request.query_string), in_query=True)
        return token is not None and await homeserver.devices.whose_token(token, while_locked=True) is None
    except MatrixError:  # no JSON object, or a token of ours that is over: the endpoint says so
        return False
