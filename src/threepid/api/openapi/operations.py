"""The description of one operation: parameters, body, answers and authentication of an endpoint at one path."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from threepid.api.expected import expected
from threepid.api.openapi.examples import Examples
from threepid.api.openapi.schemas import Schema, Schemas, fields
from threepid.api.openapi.sections import described, link, section, summary
from threepid.api.openapi.words import FIELDS, REQUESTS, VARIABLES
from threepid.http.exchange import Answer
from threepid.spec.endpoint import Accepts, Auth, Endpoint, Path
from threepid.spec.errors import LimitExceeded, MatrixError, MissingParam, MissingParams, PassedOn
from threepid.spec.oauth.errors import in_oauth
from threepid.spec.uia import AuthenticationRequiredError

_IDENTITY: Final = frozenset({"identity_v1", "identity_v2"})
_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_ENCODINGS: Final[Mapping[Accepts, tuple[str, ...]]] = {
    Accepts.JSON: (_JSON,),
    Accepts.FORM: (_JSON, _FORM),
    Accepts.ONLY_FORM: (_FORM,),
    Accepts.LENIENT_FORM: (_FORM,),
    Accepts.ANY: (_JSON, _FORM),
    Accepts.MAIL: ("message/rfc822",),
}
SCHEMES: Final[dict[str, dict[str, str]]] = {
    "accessToken": {"type": "http", "scheme": "bearer", "description": "Access token of an account."},
    "accessTokenInQuery": {
        "type": "apiKey",
        "in": "query",
        "name": "access_token",
        "description": "Access token in the query, where clients are too old for the header.",
    },
    "identityToken": {"type": "http", "scheme": "bearer", "description": "Access token of the identity server."},
    "serverSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`X-Matrix`: signature of a homeserver. "
        "https://spec.matrix.org/latest/server-server-api/#request-authentication",
    },
    "bounceSecret": {"type": "http", "scheme": "bearer", "description": "Secret of `email.bounce_secret_file`."},
    "homeserverSecret": {"type": "http", "scheme": "bearer", "description": "Secret of `homeserver.secret_file`."},
    "operatorToken": {"type": "http", "scheme": "bearer", "description": "Operator token with the scope."},
}
"""The ways of authentication, by name."""
_SECURITY: Final[Mapping[Auth, tuple[str, ...]]] = {
    Auth.NONE: (),
    Auth.ACCESS_TOKEN: ("accessToken",),
    Auth.OPTIONAL_ACCESS_TOKEN: ("", "accessToken"),
    Auth.IDENTITY_TOKEN: ("identityToken",),
    Auth.OPTIONAL_SIGNATURE: ("", "serverSignature"),
    Auth.BOUNCE_SECRET: ("bounceSecret",),
    Auth.HOMESERVER: ("homeserverSecret",),
    Auth.OPERATOR_TOKEN: ("operatorToken",),
}
"""The alternatives of each kind of authentication; '' is none."""


def types(endpoint: Endpoint) -> list[Any]:
    """All types that an operation of `endpoint` refers to."""
    found = [*endpoint.variable_types.values(), endpoint.body_type, endpoint.reads, endpoint.query_type]
    return [one for one in (*found, endpoint.answer_type) if one not in (None, bytes, type(None), Answer)]


class Operations:
    """Describes operations."""

    def __init__(self, schemas: Schemas, query_token: Iterable[str]) -> None:
        """`query_token` are the families of paths that accept the access token in the query."""
        self._schemas = schemas
        self._examples = Examples(schemas)
        self._query_token = frozenset(query_token)
        self.responses: dict[str, dict[str, Any]] = {}
        """The error answers that operations have in common, by name."""

    def of(self, endpoint: Endpoint, path: Path, operation_id: str) -> dict[str, Any]:
        """The operation of `endpoint` at `path`."""
        found: dict[str, Any] = {
            "operationId": operation_id,
            "tags": [section(endpoint)],
            "summary": summary(endpoint),
            "description": self._description(endpoint),
            "security": self._security(endpoint, path),
        }
        if url := link(endpoint):
            found["externalDocs"] = {"url": url}
        if endpoint.deprecated:
            found["deprecated"] = True
        if parameters := self._parameters(endpoint):
            found["parameters"] = parameters
        if body := self._body(endpoint):
            found["requestBody"] = body
        found["responses"] = {str(int(endpoint.status)): self._success(endpoint), **self._failures(endpoint, path)}
        return found

    def _description(self, endpoint: Endpoint) -> str:
        told = [described(endpoint)]
        if endpoint.uia:
            told.append("Uses User-Interactive Authentication: the answer 401 says which steps are required.")
        if not endpoint.for_apps and endpoint.auth in (Auth.ACCESS_TOKEN, Auth.OPTIONAL_ACCESS_TOKEN):
            told.append("Rejects tokens of apps that signed in by OAuth 2.0.")
        if endpoint.accepts is Accepts.ANY:
            told.append("The members of the body may also be in the query.")
        if endpoint.scope is not None:
            told.append(f"The operator token must have the scope `{endpoint.scope}`.")
        return " ".join(told)

    def _security(self, endpoint: Endpoint, path: Path) -> list[dict[str, list[str]]]:
        scopes = [str(endpoint.scope)] if endpoint.scope is not None else []
        names = list(_SECURITY[endpoint.auth])
        takes_token = endpoint.auth in (Auth.ACCESS_TOKEN, Auth.OPTIONAL_ACCESS_TOKEN, Auth.IDENTITY_TOKEN)
        if takes_token and (endpoint.query_token or path.family in self._query_token):
            names.append("accessTokenInQuery")
        return [{name: scopes} if name else {} for name in names]

    def _parameters(self, endpoint: Endpoint) -> list[dict[str, Any]]:
        found = [
            self._parameter("path", name, _told(name) | self._schemas.of(type_), required=True)
            for name, type_ in endpoint.variable_types.items()
        ]
        if endpoint.query_type is not None:
            schema = self._schemas.resolved(self._schemas.of(endpoint.query_type))
            required = schema.get("required", ())
            found += [
                self._parameter("query", name, member, required=name in required)
                for name, member in fields(schema).items()
            ]
        if endpoint.auth is Auth.HOMESERVER:
            flag = {"const": "1", "description": "Whether to answer the device beside the scope."}
            found.append(self._parameter("header", "X-MAS-Supports-Device-Id", flag, required=False))
        return found

    def _parameter(self, place: str, name: str, schema: Schema, *, required: bool) -> dict[str, Any]:
        bare = {key: value for key, value in schema.items() if key != "description"}
        found: dict[str, Any] = {"name": name, "in": place, "required": required, "schema": bare}
        if told := schema.get("description"):
            found["description"] = told
        found["example"] = self._examples.of(schema, name=name)
        return found

    def _body(self, endpoint: Endpoint) -> dict[str, Any] | None:
        if endpoint.body_type is bytes:
            mail = {"schema": {}, "example": "From: mailer@example.com\r\n\r\n…"}
            return {"required": True, "content": {"message/rfc822": mail}}
        type_ = endpoint.body_type or endpoint.reads
        if type_ is None:
            return None
        schema = self._schemas.of(type_)
        whole = self._schemas.resolved(schema)
        if (example := REQUESTS.get(endpoint.name)) is None:
            # Some members replace each other, so those that may be left out are.
            required = set(whole.get("required", ()))
            example = self._examples.of(schema, whole=not required)
            if not required:
                example.pop("auth", None)
        content = {encoding: {"schema": schema, "example": example} for encoding in _ENCODINGS[endpoint.accepts]}
        return {"required": bool(whole.get("required")), "content": content}

    def _success(self, endpoint: Endpoint) -> dict[str, Any]:
        if endpoint.answer_type is Answer and endpoint.status is HTTPStatus.FOUND:
            to = {"Location": {"schema": {"type": "string"}, "description": "Where the browser goes."}}
            return {"description": endpoint.status.phrase, "headers": to}
        if endpoint.answer_type in (None, type(None), Answer):
            return {"description": "Done.", "content": {_JSON: {"schema": {"type": "object"}, "example": {}}}}
        schema = self._schemas.of(endpoint.answer_type)
        told = self._schemas.resolved(schema).get("description", "").partition("\n")[0] or endpoint.status.phrase
        content = {_JSON: {"schema": schema, "example": self._examples.of(schema)}}
        return {"description": told, "content": content}

    def _failures(self, endpoint: Endpoint, path: Path) -> dict[str, dict[str, str]]:
        by_status: dict[int, dict[str, dict[str, Any]]] = {}
        kinds = dict.fromkeys(expected(endpoint))
        others = {"4XX": {"$ref": f"#/components/responses/{self._others()}"}} if PassedOn in kinds else {}
        for kind in kinds:
            if kind is PassedOn:
                continue
            if path.family in _IDENTITY and kind is MissingParam:
                kind = MissingParams  # noqa: PLW2901 - as dispatch does it
            status, body = _answered(kind, is_oauth=path.family == "oauth")
            by_status.setdefault(status, {})[body.get("errcode", body.get("error", ""))] = body
        ours = {
            str(status): {"$ref": f"#/components/responses/{self._shared(status, found, endpoint)}"}
            for status, found in sorted(by_status.items())
        }
        return {**ours, **others}

    def _others(self) -> str:
        """The name of the answer that passes on the error of another server."""
        self.responses["4XX"] = {
            "description": str(PassedOn.sentence),
            "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        return "4XX"

    def _shared(self, status: int, bodies: Mapping[str, dict[str, Any]], endpoint: Endpoint) -> str:
        """The name of the answer with `status` and one of `bodies`, which operations share."""
        codes = sorted(bodies)
        asks = endpoint.uia is not None and status == HTTPStatus.UNAUTHORIZED
        name = re.sub(r"[^A-Za-z0-9._-]", "", f"{status}.{'.'.join(codes)}{'.stages' if asks else ''}")
        if name not in self.responses:
            of_oauth = "errcode" not in bodies[codes[0]]
            schema: Schema = {"$ref": f"#/components/schemas/{'OAuthError' if of_oauth else 'Error'}"}
            if asks:
                schema = {"anyOf": [{"$ref": "#/components/schemas/AuthenticationRequired"}, schema]}
            self.responses[name] = {
                "description": ", ".join(f"`{code}`" for code in codes),
                "content": {_JSON: {"schema": schema, "example": bodies[codes[0]]}},
            }
        return name


def _told(variable: str) -> Schema:
    """What a variable of a path is, as a part of its schema."""
    text = VARIABLES.get(variable) or FIELDS.get(variable)
    return {"description": text} if text else {}


def _answered(kind: type[MatrixError], *, is_oauth: bool) -> tuple[int, dict[str, Any]]:
    """Status and body of an error, as a caller gets them."""
    if kind is AuthenticationRequiredError:
        return int(kind.status), {
            "errcode": kind.errcode,
            "error": str(kind.sentence),
            "session": "xxxxxxyz",
            "flows": [{"stages": ["m.login.password"]}],
            "params": {},
        }
    error = kind(retry_after_ms=2000) if issubclass(kind, LimitExceeded) else kind()
    status, body = in_oauth(error) if is_oauth else (error.status, error.body())
    return int(status), dict(msgspec.to_builtins(body))
