"""Holds declared endpoints against the specification's OpenAPI descriptions."""

import json
import os
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
from msgspec import Struct

from threepid.spec.endpoint import Auth, Endpoint

DIRECTORY = Path(os.environ.get("THREEPID_SPEC_DIR", Path(__file__).parent.parent.parent / "shared" / "spec"))
BUNDLES = ("bundle-client-server.json", "bundle-identity.json")

# Fields that the specification requires in requests and we do not, and why.
NOT_REQUIRED_HERE = {
    ("bind_threepid", "id_access_token"): "clients of before 2019 had none, and identity servers of v1 take none",
    ("post_threepids", "three_pid_creds"): "clients of 2016 send it as threePidCreds",
    ("register_account", "token_type"): "older clients leave it out, and it says nothing",
    ("register_account", "expires_in"): "older clients leave it out, and it says nothing",
}
# Fields of the specification's requests that we read past, and why.
IGNORED_HERE: dict[tuple[str, str], str] = {}
# Operations that are authenticated otherwise than the description says, and why.
AUTHENTICATED_OTHERWISE = {
    "unbind": "its own text says by a session or a homeserver's signature, and homeservers have no token",
}
# Operations that answer JSON of a shape that a Struct does not describe; they are driven for real instead.
DRIVEN = {"bind"}


class Operation(Struct, frozen=True):
    """One operation of the specification."""

    path: str
    method: str
    description: dict[str, Any]

    @property
    def deprecated(self) -> bool:
        return bool(self.description.get("deprecated", False))

    @property
    def needs_token(self) -> bool:
        security = self.description.get("security", [])
        return bool(security) and {} not in security

    @property
    def body(self) -> dict[str, Any]:
        content = self.description.get("requestBody", {}).get("content", {})
        return resolved(content.get("application/json", {}).get("schema", {}))

    @property
    def query(self) -> list[dict[str, Any]]:
        return [one for one in self.description.get("parameters", []) if one.get("in") == "query"]

    @property
    def answer(self) -> dict[str, Any]:
        content = self.description.get("responses", {}).get("200", {}).get("content", {})
        return resolved(content.get("application/json", {}).get("schema", {}))


_documents: dict[str, dict[str, Any]] = {}


def operations() -> dict[tuple[str, str], Operation]:
    """All operations of the bundles by method and path (variables without their names)."""
    found = {}
    for name in BUNDLES:
        document = json.loads((DIRECTORY / name).read_text(encoding="utf-8"))
        _documents[name] = document
        for path, methods in document["paths"].items():
            for method, description in methods.items():
                operation = Operation(path, method.upper(), inlined(description, document))
                found[method.upper(), plain(path)] = operation
    return found


def inlined(value: Any, document: dict[str, Any], depth: int = 0) -> Any:
    """`value` with its references replaced by what they refer to."""
    if depth > 60:
        return {}
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str) and reference.startswith("#/"):
            target: Any = document
            for step in reference[2:].split("/"):
                target = target[step.replace("~1", "/").replace("~0", "~")]
            return inlined(target, document, depth + 1)
        return {name: inlined(member, document, depth + 1) for name, member in value.items()}
    if isinstance(value, list):
        return [inlined(member, document, depth + 1) for member in value]
    return value


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its `allOf` parts put together."""
    properties: dict[str, Any] = dict(schema.get("properties", {}))
    required = list(schema.get("required", []))
    for part in schema.get("allOf", []):
        merged = resolved(part)
        properties = {**merged["properties"], **properties}
        required += merged["required"]
    return {**schema, "properties": properties, "required": required}


def plain(path: str) -> str:
    import re

    return re.sub(r"\{[^}]+\}", "{}", path)


def of(endpoint: Endpoint, known: dict[tuple[str, str], Operation]) -> Operation | None:
    """The operation that the endpoint serves, if the specification has it."""
    for path in endpoint.paths:
        if operation := known.get((endpoint.method, plain(path.template))):
            return operation
    return None


def complaints(endpoint: Endpoint, operation: Operation) -> list[str]:
    """Everything in which the declaration differs from the specification."""
    found = []
    if endpoint.deprecated != operation.deprecated:
        found.append(f"deprecated is {endpoint.deprecated}, the specification says {operation.deprecated}")
    takes_token = endpoint.auth in {Auth.ACCESS_TOKEN, Auth.IDENTITY_TOKEN}
    if takes_token != operation.needs_token and endpoint.name not in AUTHENTICATED_OTHERWISE:
        found.append(
            f"authentication is {endpoint.auth.value}, the specification says {operation.description.get('security')}"
        )
    found += _request_complaints(endpoint, operation)
    if endpoint.name not in DRIVEN:
        found += _answer_complaints(endpoint.answer_type, operation.answer, "answer")
    return found


def _request_complaints(endpoint: Endpoint, operation: Operation) -> list[str]:
    found = []
    ours = _fields(endpoint.body_type)
    for name in operation.body.get("required", []):
        if name not in ours:
            found.append(f"the body has no {name}")
        elif not ours[name].required and (endpoint.name, name) not in NOT_REQUIRED_HERE:
            found.append(f"the body does not require {name}")
    found += [
        f"the body does not know {name}"
        for name in operation.body.get("properties", {})
        if name not in ours and (endpoint.name, name) not in IGNORED_HERE
    ]
    known = _fields(endpoint.query_type)
    for parameter in operation.query:
        if parameter["name"] not in known:
            found.append(f"the query does not know {parameter['name']}")
        elif parameter.get("required") and not known[parameter["name"]].required:
            found.append(f"the query does not require {parameter['name']}")
    return found


def _answer_complaints(type_: Any, schema: dict[str, Any], where: str) -> list[str]:
    found = []
    fields = _fields(type_)
    for name, member in schema.get("properties", {}).items():
        if name in schema.get("required", []) and name not in fields:
            found.append(f"{where} has no {name}")
        if name in fields:
            inner = _element(fields[name].type)
            part = resolved(member.get("items", member))
            if isinstance(inner, type) and issubclass(inner, Struct):
                found += _answer_complaints(inner, part, f"{where}.{name}")
    return found


def _element(type_: Any) -> Any:
    return get_args(type_)[0] if get_origin(type_) in {list, tuple} else type_


def _fields(type_: Any) -> dict[str, Any]:
    if not (isinstance(type_, type) and issubclass(type_, Struct)):
        return {}
    return {field.encode_name: field for field in msgspec.structs.fields(type_)}
