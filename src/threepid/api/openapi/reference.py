"""The OpenAPI document as documentation shows it: an entry for each endpoint, with its fields in a flat list."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from threepid.api.openapi.document import document
from threepid.api.openapi.schemas import PLACE, Schema
from threepid.api.openapi.sections import link, section, summary
from threepid.spec.description import Described, Failure, Field
from threepid.spec.endpoint import Endpoint

_RESPONSES: Final = "#/components/responses/"
_DEEPEST: Final = 3
"""How deep members of members are listed."""


def reference(
    endpoints: Iterable[Endpoint], known: Iterable[Endpoint], *, base: str, query_token: Iterable[str]
) -> tuple[Described, ...]:
    """The entries of `endpoints`; the other parameters are those of `document`."""
    served = tuple(endpoints)
    whole = document(served, known, base=base, query_token=query_token)
    return tuple(_entry(endpoint, whole) for endpoint in served)


def _entry(endpoint: Endpoint, whole: dict[str, Any]) -> Described:
    method = endpoint.method.lower()
    operations = [whole["paths"][path.template][method] for path in endpoint.paths]
    operation = next((one for one in operations if one["operationId"] == endpoint.name), operations[0])
    content = operation.get("requestBody", {}).get("content", {})
    body: dict[str, Any] = next(iter(content.values()), {})
    (status, success), *failures = operation["responses"].items()
    answer = success.get("content", {}).get("application/json", {})
    return Described(
        name=endpoint.name,
        section=section(endpoint),
        method=endpoint.method,
        paths=tuple(path.template for path in endpoint.paths),
        summary=summary(endpoint),
        text=operation["description"].removeprefix(summary(endpoint)).lstrip(". "),
        url=link(endpoint),
        authentication=endpoint.auth.value,
        is_deprecated=endpoint.deprecated,
        parameters=tuple(_parameter(one, whole) for one in operation.get("parameters", ())),
        encodings=tuple(content),
        body=tuple(_fields(body.get("schema", {}), whole)),
        request=_example(body),
        status=status,
        answer=tuple(_fields(answer.get("schema", {}), whole)),
        response=_example(answer),
        failures=tuple(
            Failure(code, whole["components"]["responses"][one["$ref"].removeprefix(_RESPONSES)]["description"])
            for code, one in failures
        ),
    )


def _parameter(parameter: dict[str, Any], whole: dict[str, Any]) -> Field:
    text = " ".join(filter(None, (parameter.get("description", ""), f"In the {parameter['in']}.")))
    return Field(parameter["name"], _type(parameter["schema"], whole), parameter["required"], text)


def _example(content: dict[str, Any]) -> str:
    example = content.get("example")
    if example is None:
        return ""
    return example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)


def _fields(schema: Schema, whole: dict[str, Any], *, place: str = "", depth: int = 0) -> Iterator[Field]:
    """The members of `schema`, each followed by its own members."""
    schema = _resolved(schema, whole)
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        type_ = _type(_resolved(member, whole), whole)
        yield Field(f"{place}{name}", type_, name in required, member.get("description", ""))
        inner, suffix = _inner(_resolved(member, whole), whole)
        if inner is not None and depth < _DEEPEST:
            yield from _fields(inner, whole, place=f"{place}{name}{suffix}.", depth=depth + 1)


def _inner(schema: Schema, whole: dict[str, Any]) -> tuple[Schema | None, str]:
    """The schema of the members of a member, and what stands for one of several of them."""
    for choice in schema.get("anyOf", ()):
        found, suffix = _inner(_resolved(choice, whole), whole)
        if found is not None:
            return found, suffix
    if schema.get("properties"):
        return schema, ""
    if isinstance(items := schema.get("items"), dict):
        found, suffix = _inner(_resolved(items, whole), whole)
        return found, f"[]{suffix}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        found, suffix = _inner(_resolved(values, whole), whole)
        return found, f".*{suffix}"
    return None, ""


def _resolved(schema: Schema, whole: dict[str, Any]) -> Schema:
    reference = schema.get("$ref", "")
    found: Schema = whole["components"]["schemas"][reference.removeprefix(PLACE)] if reference else schema
    return found


def _type(schema: Schema, whole: dict[str, Any]) -> str:
    if "$ref" in schema:
        # An enumeration with a name has too many values to list them here.
        return "string" if "enum" in _resolved(schema, whole) else "object"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one, whole) for one in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(one)}`" for one in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if schema.get("type") == "array" and isinstance(items := schema.get("items"), dict):
        return f"array of {_type(items, whole)}"
    return str(schema.get("type", "any"))
