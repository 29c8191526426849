"""Holds answers and examples against the OpenAPI description of the server."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

_NAME = "urn:description"


class Description:
    """An OpenAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        whole: Resource[Any] = Resource.from_contents(document, default_specification=DRAFT202012)
        self._registry: Registry[Any] = Registry().with_resource(_NAME, whole)
        # Paths without variables first: `/pubkey/isvalid` is not the key called `isvalid`.
        paths = sorted(document["paths"], key=lambda path: path.count("{"))
        self._paths = [(re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))), path) for path in paths]

    def complaints(self, schema: dict[str, Any], value: Any) -> list[str]:
        """What of `value` does not fit `schema`."""
        validator = Draft202012Validator(_absolute(schema), registry=self._registry)
        return [error.message for error in validator.iter_errors(value)]

    def complaints_of(self, method: str, target: str, answer: httpx.Response) -> list[str]:
        """What of an answer is not described."""
        path = target.partition("?")[0]
        template = next((one for expression, one in self._paths if expression.fullmatch(path)), None)
        if template is None:
            return [] if answer.status_code == 404 else [f"{path} is not described"]
        responses = self._document["paths"][template][method.lower()]["responses"]
        found = responses.get(str(answer.status_code)) or responses.get(f"{answer.status_code // 100}XX")
        if found is None:
            return [f"the status {answer.status_code} is not described"]
        if "$ref" in found:
            found = self._document["components"]["responses"][found["$ref"].rpartition("/")[2]]
        if not (content := found.get("content")):
            return [] if not answer.content else ["a body is not described"]
        # With the required stages comes the error of the last attempt, whichever it was.
        failed = answer.status_code >= 400 and "flows" not in answer.json()
        code = answer.json().get("errcode") if failed else None
        if code is not None and f"`{code}`" not in found["description"] and str(answer.status_code) in responses:
            return [f"{code} is not among {found['description']}"]
        return self.complaints(content["application/json"]["schema"], answer.json())


def examples(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Each schema that has an example beside it: its place, the schema and the example."""
    if isinstance(value, dict):
        if "example" in value and "schema" in value:
            yield place, value["schema"], value["example"]
        for name, member in value.items():
            if name not in ("schema", "example"):
                yield from examples(member, f"{place}/{name}")
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from examples(member, f"{place}/{number}")


def _absolute(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _NAME + member if name == "$ref" else _absolute(member) for name, member in value.items()}
    return [_absolute(member) for member in value] if isinstance(value, list) else value
