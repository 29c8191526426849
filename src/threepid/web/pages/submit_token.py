"""The specification's GET `submitToken`: validates at once and answers with a page.

https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityv2validateemailsubmittoken
Our mails never link to it; the setting `identity.get_submits` serves it for clients that call it. Clients that do not accept
HTML get errors as JSON.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from threepid.domain.policy import check_v1_caller
from threepid.domain.services import IdentityServer, Services
from threepid.domain.validation.purposes import Purpose
from threepid.http.authentication import bearer_token, identity_user
from threepid.http.exchange import Answer, Request
from threepid.http.parameters import parse_parameters
from threepid.spec.errors import MatrixError, MissingParams
from threepid.web.next_link import target
from threepid.web.render import HEADERS, PageHandle, PageRoute, Pages, redirect

_ANY_ORIGIN: Final = {"Access-Control-Allow-Origin": "*"}


def routes(services: Services) -> list[PageRoute]:
    """The routes that the configuration enables."""
    identity = services.identity
    if identity is None or not identity.settings.get_submits:
        return []
    submit = _Submit(services, identity)
    versions = {"v2": submit.v2, **({"api/v1": submit.v1} if identity.settings.v1.validate else {})}
    return [
        PageRoute(f"/_matrix/identity/{version}/validate/{medium}/submitToken", {"GET": _for_programs_too(handle)})
        for version, handle in versions.items()
        for medium in ("email", "msisdn")
    ]


def _for_programs_too(handle: PageHandle) -> PageHandle:
    async def answered(pages: Pages, request: Request, variables: Mapping[str, str]) -> Answer:
        try:
            answer = await handle(pages, request, variables)
        except MatrixError as error:
            if "text/html" in (request.header("accept") or ""):
                raise
            answer = Answer(error.status, msgspec.json.encode(error.body()), headers=HEADERS.replacing(error.headers()))
        return msgspec.structs.replace(answer, headers=answer.headers.replacing(_ANY_ORIGIN))

    return answered


class _Submit:
    def __init__(self, services: Services, identity: IdentityServer) -> None:
        self._services = services
        self._identity = identity
        self._web = services.context.config.web

    async def v2(self, pages: Pages, request: Request, _variables: Mapping[str, str]) -> Answer:
        """Submit a token with an access token of the identity server."""
        in_query = "identity_v2" in self._services.context.config.server.query_token
        token = bearer_token(request, parse_parameters(request.query_string), in_query=in_query)
        return await self._submit(pages, request, await identity_user(self._identity, token))

    async def v1(self, pages: Pages, request: Request, _variables: Mapping[str, str]) -> Answer:
        """Submit a token without an access token, for callers that may use v1."""
        check_v1_caller(self._services.context.config, request.client)
        return await self._submit(pages, request, "")

    async def _submit(self, pages: Pages, request: Request, caller: str) -> Answer:
        given = parse_parameters(request.query_string)
        for name in ("sid", "client_secret", "token"):
            if name not in given:
                raise MissingParams.named(name)
        # A GET never confirms a session of the homeserver, because it could reset a password.
        session = await self._services.validation.submit_token(
            given["sid"], given["client_secret"], given["token"], caller=caller, purpose=Purpose.IDENTITY
        )
        destination = None if session.next_link is None else target(self._web, session.next_link, session.sid)
        if destination is not None:
            return redirect(destination)
        return pages.page("confirmed.html", address=session.address, next_link=session.next_link)
