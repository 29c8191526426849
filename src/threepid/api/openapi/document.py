"""The whole OpenAPI document of some endpoints."""

from collections.abc import Iterable
from typing import Any, Final

from threepid import __version__
from threepid.api.openapi.operations import SCHEMES, Operations, types
from threepid.api.openapi.schemas import Schemas
from threepid.api.openapi.sections import section
from threepid.spec.endpoint import Endpoint

_NEWEST: Final = ("v3", "v1", "client", "identity_v2")
"""Families of paths whose operation has the name of the endpoint alone."""
_ERRORS: Final[dict[str, Any]] = {
    "Error": {
        "description": "An error. https://spec.matrix.org/latest/client-server-api/#standard-error-response",
        "type": "object",
        "required": ["errcode", "error"],
        "properties": {
            "errcode": {"type": "string", "description": "What kind of error it is, for programs."},
            "error": {"type": "string", "description": "What went wrong, for people."},
            "retry_after_ms": {"type": "integer", "description": "How many milliseconds to wait, with 429."},
        },
    },
    "OAuthError": {
        "description": "An error of OAuth 2.0. https://www.rfc-editor.org/rfc/rfc6749#section-5.2",
        "type": "object",
        "properties": {
            "error": {"type": "string", "description": "Left out where the same request may succeed later (429, 5xx)."},
            "error_description": {"type": "string"},
        },
    },
    "AuthenticationRequired": {
        "description": "What is required before the request is done. "
        "https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api",
        "type": "object",
        "required": ["session", "flows", "params"],
        "properties": {
            "session": {"type": "string", "description": "The ID of the authentication session."},
            "flows": {
                "type": "array",
                "description": "The ways to do it. One of them must be completed.",
                "items": {
                    "type": "object",
                    "required": ["stages"],
                    "properties": {"stages": {"type": "array", "items": {"type": "string"}}},
                },
            },
            "params": {"type": "object", "description": "What the client needs to know, by stage."},
            "completed": {"type": "array", "items": {"type": "string"}},
            "errcode": {"type": "string"},
            "error": {"type": "string"},
        },
    },
}


def document(
    endpoints: Iterable[Endpoint], known: Iterable[Endpoint], *, base: str, query_token: Iterable[str]
) -> dict[str, Any]:
    """The OpenAPI document of `endpoints` at the URL `base`.

    Schemas have the same names whichever of the `known` endpoints are served. `query_token` is the setting of that name.
    """
    schemas = Schemas([type_ for one in known for type_ in types(one)])
    operations = Operations(schemas, query_token)
    served = list(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in served:
        for path, operation_id in _named(endpoint):
            paths.setdefault(path.template, {})[endpoint.method.lower()] = operations.of(endpoint, path, operation_id)
    used = {"Error", *schemas.used_by(paths)}
    components = {**_ERRORS, **schemas.components}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "threepid",
            "version": __version__,
            "description": "The endpoints of this server for programs.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base}],
        "tags": [{"name": name} for name in dict.fromkeys(section(one) for one in served)],
        "paths": paths,
        "components": {
            "securitySchemes": SCHEMES,
            "responses": operations.responses,
            "schemas": {name: one for name, one in components.items() if name in used or name in _ERRORS},
        },
    }


def _named(endpoint: Endpoint) -> list[tuple[Any, str]]:
    """The paths of an endpoint, each with the name of its operation."""
    plain = next((path for wanted in _NEWEST for path in endpoint.paths if path.family == wanted), endpoint.paths[0])
    named = []
    for number, path in enumerate(endpoint.paths):
        same = [one for one in endpoint.paths if one.family == path.family]
        suffix = path.family if len(same) == 1 else f"{path.family}{number}"
        named.append((path, endpoint.name if path is plain else f"{endpoint.name}_{suffix}"))
    return named
