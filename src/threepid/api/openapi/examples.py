"""An example of each schema. Tests hold every example against its schema."""

from typing import Any

from threepid.api.openapi.schemas import Schema, Schemas, fields
from threepid.api.openapi.words import SAMPLES

_WORDS = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "null": None}
_TIMES = ("_at", "_ts", "not_before", "not_after")
_SOME_TIME = 1_800_000_000_000


class Examples:
    """Makes examples of schemas."""

    def __init__(self, schemas: Schemas) -> None:
        """`schemas` resolve references."""
        self._schemas = schemas

    def of(self, schema: Schema, *, name: str = "", whole: bool = True) -> Any:
        """A value that `schema` describes, for the member called `name`; `whole` with the optional members."""
        schema = self._schemas.resolved(schema)
        for told in ("const", "default"):
            if told in schema and schema[told] not in ({}, []):
                return schema[told]
        if "enum" in schema:
            return schema["enum"][0]
        if "anyOf" in schema:
            return self.of(_telling(schema["anyOf"]), name=name, whole=whole)
        return self._of_kind(schema.get("type", "object"), schema, name, whole=whole)

    def _of_kind(self, kind: str, schema: Schema, name: str, *, whole: bool) -> Any:
        if kind == "object":
            return self._object(schema, whole=whole)
        sample = SAMPLES.get(name)
        if kind == "array":
            is_of_texts = isinstance(sample, list) and schema.get("items", {}).get("type") == "string"
            return sample if is_of_texts else self._array(schema, whole=whole)
        if isinstance(sample, _KINDS[kind]) and isinstance(sample, bool) == (kind == "boolean"):
            return sample
        if kind == "integer":
            return _SOME_TIME if name.endswith(_TIMES) or name == "ts" else schema.get("minimum", 1)
        return _WORDS[kind]

    def _object(self, schema: Schema, *, whole: bool) -> dict[str, Any]:
        required = schema.get("required", ())
        found = {
            name: self.of(member, name=name, whole=whole)
            for name, member in fields(schema).items()
            if whole or name in required
        }
        values = schema.get("additionalProperties")
        return {"example": self.of(values)} if not found and isinstance(values, dict) and values else found

    def _array(self, schema: Schema, *, whole: bool) -> list[Any]:
        if "prefixItems" in schema:
            return [self.of(item, whole=whole) for item in schema["prefixItems"]]
        items = schema.get("items")
        if not isinstance(items, dict) or schema.get("maxItems") == 0:
            return []
        return [self.of(items, whole=whole)]


_KINDS: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def _telling(choices: list[Schema]) -> Schema:
    """The choice that says most: not null."""
    return next((one for one in choices if one.get("type") != "null"), choices[0])
