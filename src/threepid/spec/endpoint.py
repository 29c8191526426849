"""Declarations of endpoints: path versions, authentication, errors and types of one operation in one place.

The routes, the documentation's table and the conformance test against the specification are derived from the declarations.
A declaration that contradicts itself raises BadDeclarationError when its module is imported.
"""

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from threepid.spec.errors import MatrixError
from threepid.spec.operator_scopes import Scope
from threepid.spec.uia import Operation

Handler = Callable[..., Awaitable[Any]]


class BadDeclarationError(Exception):
    """An endpoint declaration that contradicts itself."""


class Auth(Enum):
    """The authentication that an endpoint requires."""

    NONE = "none"
    ACCESS_TOKEN = "access token"  # noqa: S105 - the name of a kind of authentication
    OPTIONAL_ACCESS_TOKEN = "optional access token"  # noqa: S105 - likewise
    IDENTITY_TOKEN = "identity token"  # noqa: S105 - likewise
    OPTIONAL_SIGNATURE = "optional server signature"
    BOUNCE_SECRET = "secret of email.bounce_secret_file"  # noqa: S105 - likewise
    HOMESERVER = "secret shared with the homeserver"
    OPERATOR_TOKEN = "operator token"  # noqa: S105 - likewise


class Accepts(Enum):
    """The encodings in which an endpoint accepts the parameters of a POST."""

    JSON = "json"
    FORM = "json or urlencoded"
    """The encodings of Identity Service API v2 endpoints whose drafts accepted forms."""
    ONLY_FORM = "urlencoded"
    """The encoding of OAuth 2.0 endpoints. https://www.rfc-editor.org/rfc/rfc6749#appendix-B."""
    LENIENT_FORM = "urlencoded, with any text"
    """The same with any text as the token: an unknown token is not an error. https://www.rfc-editor.org/rfc/rfc7662#section-2.2."""
    ANY = "json, urlencoded or query"
    """The encodings of the Identity Service API v1."""
    MAIL = "message/rfc822"
    """A mail as it is, whatever its Content-Type says. The handler's `body` is `bytes`."""


class Beside(Enum):
    """Who answers an endpoint where a homeserver such as Synapse has the rooms and this server authenticates its users.

    Standing alone, this server answers all its endpoints. `threepid proxy` prints a configuration that does both.
    """

    HERE = "this server"
    HOMESERVER = "the homeserver"
    BINDS = "the homeserver, or this server by the setting `homeserver.binds`"
    HIDDEN = "this server, for the homeserver alone"


class Forwards(Enum):
    """Requests to an endpoint that a homeserver beside us answers, because application services send them."""

    APPLICATION_SERVICE_BODY = "a body of the type m.login.application_service"
    UNKNOWN_TOKEN = "an access token that is not ours"  # noqa: S105 - not a token


class Path(Struct, frozen=True):
    """One version of an endpoint's path, with variables in braces."""

    family: str
    template: str
    beside: Beside | None = None
    """Who answers this path beside a homeserver, if it is not who answers the endpoint's other paths."""


def client(path: str, *families: str) -> tuple[Path, ...]:
    """Paths of the Client-Server API: `/_matrix/client/<family><path>`; without families, the unversioned path."""
    if not families:
        return (Path("client", f"/_matrix/client{path}"),)
    return tuple(Path(family, f"/_matrix/client/{family}{path}") for family in families)


def identity(path: str) -> tuple[Path, ...]:
    """The path of the Identity Service API v2."""
    return (Path("identity_v2", f"/_matrix/identity/v2{path}"),)


def identity_v1(path: str) -> tuple[Path, ...]:
    """The path of the Identity Service API v1."""
    return (Path("identity_v1", f"/_matrix/identity/api/v1{path}"),)


def oauth(path: str) -> tuple[Path, ...]:
    """The path of an endpoint of OAuth 2.0 outside the Matrix API, whose errors are those of OAuth."""
    return (Path("oauth", path),)


def other(*paths: str, beside: Beside | None = None) -> tuple[Path, ...]:
    """Paths outside the versioned families, given whole."""
    return tuple(Path("other", path, beside) for path in paths)


class Endpoint:
    """One declared operation; use the decorator `endpoint` to create it."""

    def __init__(
        self,
        method: str,
        paths: tuple[Path, ...],
        handler: Handler,
        *,
        auth: Auth,
        errors: tuple[type[MatrixError], ...],
        status: HTTPStatus,
        accepts: Accepts,
        uia: Operation | None,
        before_terms: bool,
        query_token: bool,
        deprecated: bool,
        max_body: int,
        switch: str | None,
        for_apps: bool,
        while_locked: bool,
        with_contacts: bool,
        beside: Beside,
        forwards: Forwards | None,
        scope: Scope | None,
        fresh_seconds: int,
        reads: type[Struct] | None,
    ) -> None:
        """Read the types of the call, body, query and answer from the handler's annotations."""
        self.method = method
        self.paths = paths
        self.handler = handler
        self.auth = auth
        self.errors = errors
        self.status = status
        self.accepts = accepts
        self.uia = uia
        self.before_terms = before_terms
        self.query_token = query_token
        self.deprecated = deprecated
        self.max_body = max_body
        self.switch = switch
        self.while_locked = while_locked
        self.with_contacts = with_contacts
        self.beside = beside
        self.forwards = forwards
        self.scope = scope
        self.for_apps = for_apps and uia is None
        self.fresh_seconds = fresh_seconds
        self.reads = reads
        self.name = handler.__name__
        self.doc = inspect.getdoc(handler) or ""
        hints = typing.get_type_hints(handler, include_extras=True)
        self.answer_type: Any = hints.pop("return", None)
        self.call_type: Any = hints.pop("call", None)
        self.body_type: Any = hints.pop("body", None)
        self.query_type: Any = hints.pop("query", None)
        self.variable_types: dict[str, Any] = hints
        _refuse_contradictions(self)
        body_fields = () if self.body_type in (None, bytes) else msgspec.structs.fields(self.body_type)
        self.body_names = frozenset(field.encode_name for field in body_fields)
        """The members of the body that the endpoint uses."""

    def __repr__(self) -> str:
        """The method and the last path."""
        return f"{self.method} {self.paths[-1].template}"


def endpoint(
    method: str,
    paths: tuple[Path, ...],
    *,
    auth: Auth,
    errors: tuple[type[MatrixError], ...] = (),
    status: HTTPStatus = HTTPStatus.OK,
    accepts: Accepts = Accepts.JSON,
    uia: Operation | None = None,
    before_terms: bool = False,
    query_token: bool = False,
    deprecated: bool = False,
    max_body: int = 65_536,
    switch: str | None = None,
    while_locked: bool = False,
    with_contacts: bool = False,
    beside: Beside = Beside.HERE,
    forwards: Forwards | None = None,
    for_apps: bool = True,
    scope: Scope | None = None,
    fresh_seconds: int = 0,
    reads: type[Struct] | None = None,
) -> Callable[[Handler], Endpoint]:
    """Declare that the decorated coroutine function answers `method` on `paths`.

    Its parameters are `call` (the caller and the services), `body` and `query` (Structs), and one for each path variable.
    `errors` are those that it may raise besides the errors that every endpoint may raise. `uia` is the operation for which it
    requires User-Interactive Authentication. `before_terms` allows users who have not accepted the terms. `query_token` accepts
    the token in the query, whatever `server.query_token` says. `max_body` is in bytes. `switch` is the setting that enables it.
    `while_locked` serves locked accounts, too. `with_contacts` reads the account's contacts together with the access token.
    `beside` is who answers it where a homeserver has the rooms, and `forwards` are the requests that go on to it.
    `scope` is the scope that an operator token must have.
    Without `for_apps`, and with `uia`, tokens of the OAuth 2.0 API are rejected: their people use the account pages.
    Anybody may keep an answer for `fresh_seconds`, if it is the same for all callers.
    `reads` describes a body that the domain reads itself.
    """

    def declare(handler: Handler) -> Endpoint:
        return Endpoint(
            method,
            paths,
            handler,
            auth=auth,
            errors=errors,
            status=status,
            accepts=accepts,
            uia=uia,
            before_terms=before_terms,
            query_token=query_token,
            deprecated=deprecated,
            max_body=max_body,
            switch=switch,
            while_locked=while_locked,
            with_contacts=with_contacts,
            beside=beside,
            forwards=forwards,
            scope=scope,
            for_apps=for_apps,
            fresh_seconds=fresh_seconds,
            reads=reads,
        )

    return declare


METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE"})
_VARIABLE: Final = re.compile(r"\{([a-z_]+)\}")


def _variables(path: Path) -> frozenset[str]:
    return frozenset(_VARIABLE.findall(path.template))


def _refuse_contradictions(declared: Endpoint) -> None:
    for wrong, why in (
        (declared.method not in METHODS, f"{declared.method} is not one of {sorted(METHODS)}"),
        (not declared.paths, "it has no path"),
        (not inspect.iscoroutinefunction(declared.handler), "its handler is not a coroutine function"),
        (not declared.doc, "its handler has no docstring"),
        (declared.call_type is None, "its handler takes no annotated `call`"),
        (len({_variables(path) for path in declared.paths}) > 1, "its paths have different variables"),
        (any(not error.errcode for error in declared.errors), "it declares an error without an errcode"),
        (declared.body_type is not None and declared.method == "GET", "a GET has no body"),
        (declared.uia is not None and declared.body_type is None, "it uses UIA but takes no body"),
        (
            (declared.auth is Auth.OPERATOR_TOKEN) != (declared.scope is not None),
            "it takes an operator token but names no scope, or the other way round",
        ),
        (
            declared.query_token and declared.auth in (Auth.NONE, Auth.OPTIONAL_SIGNATURE, Auth.HOMESERVER),
            "it takes a token from the query but none from a header",
        ),
    ):
        if wrong:
            raise BadDeclarationError(f"{declared.handler.__qualname__}: {why}")
    variables = _variables(declared.paths[0])
    if variables != declared.variable_types.keys():
        raise BadDeclarationError(
            f"{declared.handler.__qualname__}: path variables {sorted(variables)} are not its parameters "
            f"{sorted(declared.variable_types)}"
        )
    wanted = getattr(declared.call_type, "auth", None)
    if wanted is None or declared.auth not in wanted:
        raise BadDeclarationError(
            f"{declared.handler.__qualname__}: its `call` does not come from {declared.auth.value} authentication"
        )
    if (declared.body_type is bytes) != (declared.accepts is Accepts.MAIL):
        raise BadDeclarationError(f"{declared.handler.__qualname__}: a mail is `bytes`, and nothing else is")
    for name in ("body_type", "query_type"):
        type_ = getattr(declared, name)
        if type_ is bytes:
            continue
        if type_ is not None and not (isinstance(type_, type) and issubclass(type_, Struct)):
            raise BadDeclarationError(f"{declared.handler.__qualname__}: {name} is not a Struct")
    if declared.uia is not None and "auth" not in {field.name for field in msgspec.structs.fields(declared.body_type)}:
        raise BadDeclarationError(f"{declared.handler.__qualname__}: it uses UIA but its body has no `auth`")


def collect(*groups: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """All endpoints of `groups`. Raises BadDeclarationError for two with the same method and path."""
    taken: dict[tuple[str, str], Endpoint] = {}
    endpoints = []
    for group in groups:
        for declared in group:
            endpoints.append(declared)
            for path in declared.paths:
                key = (declared.method, _VARIABLE.sub("{}", path.template))
                if key in taken:
                    raise BadDeclarationError(
                        f"{declared.method} {path.template} is declared by both {taken[key].name} and {declared.name}"
                    )
                taken[key] = declared
    return tuple(endpoints)
