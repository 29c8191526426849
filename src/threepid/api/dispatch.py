"""Dispatch of a request to a declared endpoint: authentication, decoding, the call, encoding, CORS, errors.

Independent of any web framework. Every exception of a handler becomes a JSON error here.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import structlog

from threepid.api.call import (
    BounceCall,
    Call,
    HomeserverCall,
    IdentityCall,
    MaybeUserCall,
    OperatorCall,
    SignedCall,
    UserCall,
)
from threepid.api.expected import expected
from threepid.api.forwarding import forwarding
from threepid.domain.services import Services
from threepid.domain.sums import Kind
from threepid.http.authentication import bearer_token, identity_user, requester
from threepid.http.exchange import Answer, Fallbacks, Handle, Headers, Request, Route
from threepid.http.failures import as_error
from threepid.http.parameters import parse_form, parse_parameters
from threepid.i18n import Text
from threepid.spec import errors
from threepid.spec.endpoint import Accepts, Auth, Endpoint, Path
from threepid.spec.errors import MatrixError
from threepid.spec.oauth.errors import in_oauth
from threepid.spec.oauth.server import MANAGE
from threepid.spec.strict_json import convert, parse_object
from threepid.spec.uia import Operation, leaves_body_out

_log = structlog.get_logger()
_encode: Final = msgspec.json.Encoder().encode

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Origin, X-Requested-With, Content-Type, Accept, Authorization",
}
"""https://spec.matrix.org/latest/client-server-api/#web-browser-clients."""
_HEADERS: Final = Headers(*CORS.items(), ("Cache-Control", "no-store"))
_OAUTH_HEADERS: Final = _HEADERS.adding("Pragma", "no-cache")
"""https://www.rfc-editor.org/rfc/rfc6749#section-5.1."""

_CALLS: Final[dict[Auth, type[Call]]] = {
    Auth.NONE: Call,
    Auth.ACCESS_TOKEN: UserCall,
    Auth.OPTIONAL_ACCESS_TOKEN: MaybeUserCall,
    Auth.IDENTITY_TOKEN: IdentityCall,
    Auth.OPTIONAL_SIGNATURE: SignedCall,
    Auth.BOUNCE_SECRET: BounceCall,
    Auth.HOMESERVER: HomeserverCall,
    Auth.OPERATOR_TOKEN: OperatorCall,
}
_BY_SECRET: Final = frozenset({Auth.BOUNCE_SECRET, Auth.HOMESERVER, Auth.OPERATOR_TOKEN})


class Dispatcher:
    """The operations of the declared endpoints."""

    def __init__(self, services: Services, endpoints: Iterable[Endpoint], *, strict: bool = False) -> None:
        """`strict`, for tests, raises AssertionError for an error that its endpoint does not declare."""
        self._services = services
        self._operations = [
            _Operation(services, endpoint, path, strict=strict) for endpoint in endpoints for path in endpoint.paths
        ]

    def routes(self) -> list[Route]:
        """One route for each path."""
        by_template: dict[str, dict[str, Handle]] = {}
        names: dict[str, dict[str, str]] = {}
        for operation in self._operations:
            template, method = operation.path.template, operation.endpoint.method
            by_template.setdefault(template, {})[method] = self._handle(operation)
            names.setdefault(template, {})[method] = operation.endpoint.name
        near = {operation.path.template for operation in self._operations if operation.endpoint.scope is not None}
        return [
            Route(template, handlers, preflight, names[template], self._is_near if template in near else None)
            for template, handlers in by_template.items()
        ]

    def _is_near(self, request: Request) -> bool:
        return self._services.operator_tokens.is_near(request.client)

    def _handle(self, operation: "_Operation") -> Handle:
        homeserver = self._services.homeserver
        if homeserver is None or homeserver.provisioning.synapse is None or operation.endpoint.forwards is None:
            return operation.handle
        return forwarding(homeserver, operation.endpoint, operation.handle, headers=_HEADERS, fail=operation.failure)


def preflight() -> Answer:
    """The answer to OPTIONS: no authentication, every origin."""
    return Answer(200, b"{}", headers=_HEADERS)


def error_answer(error: MatrixError) -> Answer:
    """The specification's standard error response."""
    return Answer(
        error.status,
        _encode(error.body()),
        headers=_HEADERS.replacing(error.headers()),
        errcode=error.errcode,
        limit=error.limit if isinstance(error, errors.LimitExceeded) else "",
    )


def oauth_error_answer(error: MatrixError) -> Answer:
    """The error response of OAuth 2.0. https://www.rfc-editor.org/rfc/rfc6749#section-5.2."""
    status, body = in_oauth(error)
    return Answer(
        status,
        _encode(body),
        headers=_OAUTH_HEADERS.replacing(error.headers()),
        errcode=error.errcode,
        limit=error.limit if isinstance(error, errors.LimitExceeded) else "",
    )


def _on_account_pages(base: str) -> Text:
    """What an app is told that may not do something: on which page its person can do it."""
    pages = f"{base.rstrip('/')}{MANAGE}"
    return Text("This app can't do that. Do it on the pages of your account: %(url)s", url=pages)


FALLBACKS: Final = Fallbacks(
    not_found=lambda _request: error_answer(errors.Unrecognized()),
    # Without CORS headers, a browser reports an unknown endpoint to its app as a network failure.
    preflight=lambda _request: preflight(),
    wrong_method=lambda _request: error_answer(errors.MethodNotAllowed()),
    failure=lambda _request: error_answer(errors.Unknown()),
)


_FORM: Final = "application/x-www-form-urlencoded"
_IDENTITY: Final = frozenset({"identity_v1", "identity_v2"})


class _Operation:
    """One path version of one endpoint."""

    def __init__(self, services: Services, endpoint: Endpoint, path: Path, *, strict: bool) -> None:
        self._services = services
        self.endpoint = endpoint
        self.path = path
        self._strict = strict
        self._query_token = endpoint.query_token or path.family in services.context.config.server.query_token
        self._is_identity = path.family in _IDENTITY
        self._is_oauth = path.family == "oauth"
        self._expected = expected(endpoint)
        self._call = _CALLS[endpoint.auth]
        fresh = {"Cache-Control": f"public, max-age={endpoint.fresh_seconds}"} if endpoint.fresh_seconds else {}
        self._headers = (_OAUTH_HEADERS if self._is_oauth else _HEADERS).replacing(fresh)
        self._takes_body = endpoint.method != "GET"

    async def handle(self, request: Request, variables: Mapping[str, str]) -> Answer:
        """The answer to `request`; turns every exception into an error answer."""
        try:
            return await self._answer(request, variables)
        except Exception as error:  # noqa: BLE001 - the last resort: nothing of it may reach the caller
            return self.failure(error, request.client)

    def failure(self, error: Exception, client: str) -> Answer:
        """The answer to a caller at the IP address `client` for an exception that is being handled."""
        return self._refuse(as_error(error, self._services.context.entropy, where=self.endpoint.name), client)

    async def _answer(self, request: Request, variables: Mapping[str, str]) -> Answer:
        endpoint = self.endpoint
        arguments: dict[str, Any] = {}
        for name, value in variables.items():
            arguments[name] = convert(value, endpoint.variable_types[name])
        query = parse_parameters(request.query_string) if request.query_string else {}
        client = request.client
        caller = await self._caller(request, query, client)
        if endpoint.accepts is Accepts.MAIL:
            arguments["body"], raw = await request.body(endpoint.max_body), {}
        else:
            raw = await self._body(request, query) if self._takes_body else {}
        if endpoint.uia is not None and raw.get("auth", raw) is None:
            del raw["auth"]  # some clients send `"auth": null` in their first request
        recalled = None
        if endpoint.uia is not None and "auth" in raw and leaves_body_out(raw, endpoint.uia):
            raw, recalled = await self._recalled(raw, endpoint.uia)
        if endpoint.body_type not in (None, bytes):
            arguments["body"] = convert(raw, endpoint.body_type, lax=endpoint.accepts is Accepts.ANY)
        if endpoint.query_type is not None:
            arguments["query"] = convert(query, endpoint.query_type, lax=True)
        call = self._call(
            services=self._services,
            endpoint=endpoint,
            client=client,
            user_agent=request.header("user-agent") or "",
            accept_language=request.header("accept-language") or "",
            raw=raw,
            recalled=recalled,
            **caller,
        )
        result = await endpoint.handler(call, **arguments)
        if isinstance(result, Answer):
            return result
        return Answer(endpoint.status, b"{}" if result is None else _encode(result), headers=self._headers)

    async def _caller(self, request: Request, query: dict[str, str], client: str) -> dict[str, Any]:
        """The caller's fields of this endpoint's Call class. Raises the errors of its authentication."""
        auth = self.endpoint.auth
        if auth is Auth.NONE:
            return {}
        if auth is Auth.OPTIONAL_SIGNATURE:
            return {"authorization": request.header("authorization"), "uri": request.target}
        if auth in _BY_SECRET:
            return await self._service(request, client)
        token = bearer_token(request, query, in_query=self._query_token)
        if auth is Auth.IDENTITY_TOKEN:
            user_id = await identity_user(
                self._services.require_identity(), token, before_terms=self.endpoint.before_terms
            )
            return {"user_id": user_id, "token": token or ""}
        homeserver = self._services.require_homeserver()
        device = await requester(
            homeserver,
            token,
            required=auth is Auth.ACCESS_TOKEN,
            while_locked=self.endpoint.while_locked,
            with_contacts=self.endpoint.with_contacts,
        )
        if device is not None and not self.endpoint.for_apps and device.client_id is not None:
            raise errors.Forbidden(_on_account_pages(self._services.context.config.server.public_base_url))
        if device is not None and homeserver.last_seen.unnoticed(device):
            homeserver.last_seen.notice(device, client=client, user_agent=request.header("user-agent") or "")
        if auth is Auth.ACCESS_TOKEN:
            return {"requester": device, "token": token or ""}
        return {"requester": device}

    async def _service(self, request: Request, client: str) -> dict[str, Any]:
        """The fields of a caller that is no person: another server of the operator, or an operator's program."""
        token = bearer_token(request, {}, in_query=False)
        if self.endpoint.auth is Auth.HOMESERVER:
            self._services.require_oauth().introspection.require(token)
            return {"takes_device_id": request.header("x-mas-supports-device-id") == "1"}
        if self.endpoint.scope is not None:
            return {
                "operator": await self._services.operator_tokens.authorize(token, self.endpoint.scope, client=client)
            }
        self._services.bounces.check_secret(token)
        return {}

    async def _body(self, request: Request, query: dict[str, str]) -> dict[str, Any]:
        endpoint = self.endpoint
        body = await request.body(endpoint.max_body)
        content_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
        # curl and others label JSON as a form by default; no form begins with a brace.
        is_form = content_type == _FORM and not body.lstrip().startswith(b"{")
        if endpoint.accepts is Accepts.FORM and is_form:
            return parse_form(body)
        if endpoint.accepts in (Accepts.ONLY_FORM, Accepts.LENIENT_FORM):
            if content_type != _FORM:
                raise errors.InvalidParam(Text("The form is malformed."))
            any_text = endpoint.accepts is Accepts.LENIENT_FORM
            # A parameter without a value counts as left out. https://www.rfc-editor.org/rfc/rfc6749#section-3.2.
            return {name: text for name, text in parse_form(body, any_text=any_text).items() if text or any_text}
        if endpoint.accepts is Accepts.ANY:
            if is_form:
                return {**query, **parse_form(body)}
            # Old clients send `null` or no body and put every parameter into the query.
            return {**query, **(parse_object(body) if body.strip() not in (b"", b"null") else {})}
        if not body:
            return {}
        return parse_object(body)

    async def _recalled(self, raw: dict[str, Any], operation: Operation) -> tuple[dict[str, Any], bytes | None]:
        """The session's first body and its MAC, for clients that leave it out after the first request."""
        auth = raw["auth"]
        session = auth.get("session") if isinstance(auth, dict) else None
        if not isinstance(session, str):
            return raw, None
        first = await self._services.require_homeserver().uia.recall(operation, session)
        return (raw, None) if first is None else ({**first.fields, "auth": auth}, first.request_mac)

    def _refuse(self, error: MatrixError, client: str) -> Answer:
        if isinstance(error, errors.LimitExceeded):
            self._services.sums.count(Kind.LIMIT_EXCEEDED, client)
        if self._is_identity and isinstance(error, errors.MissingParam):
            error = errors.MissingParams(error.text)
        if not isinstance(error, self._expected):
            _log.warning("undeclared_error", endpoint=self.endpoint.name, errcode=error.errcode)
            if self._strict:
                raise AssertionError(f"{self.endpoint}: {type(error).__name__} is not declared") from error
        if error.status >= errors.Unknown.status:
            if not isinstance(error, errors.Unknown):  # `as_error` has logged that one with its traceback
                _log.warning("request_failed", endpoint=self.endpoint.name, status=error.status, cause=error.cause)
        elif error.cause:
            _log.debug("request_refused", endpoint=self.endpoint.name, errcode=error.errcode, cause=error.cause)
        return oauth_error_answer(error) if self._is_oauth else error_answer(error)
