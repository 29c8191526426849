"""JSON Schemas of the Structs that endpoints take and answer."""

import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from threepid.api.openapi.words import FIELDS
from threepid.config.reference import sentences

PLACE: Final = "#/components/schemas/"
Schema = dict[str, Any]


class Schemas:
    """The schemas of some types, by name."""

    def __init__(self, described: Iterable[Any]) -> None:
        """Name the schemas of the types in `described`, which may repeat."""
        unique: dict[int, Any] = {id(type_): type_ for type_ in map(shape, described)}
        found, components = msgspec.json.schema_components(unique.values(), ref_template=f"{PLACE}{{name}}")
        self._schemas = {key: _tidy(schema) for key, schema in zip(unique, found, strict=True)}
        self.components: dict[str, Schema] = {_short(name): _tidy(schema) for name, schema in components.items()}
        for struct in structs(unique.values()):
            name = self._name(struct)
            if name is not None:
                _describe(self.components[name], struct)

    def of(self, type_: Any) -> Schema:
        """The schema of one of the described types: mostly a reference."""
        found: Schema = self._schemas[id(shape(type_))]
        return found

    def resolved(self, schema: Schema) -> Schema:
        """The schema that a reference means; any other schema as it is."""
        reference = schema.get("$ref", "")
        return self.components[reference.removeprefix(PLACE)] if reference else schema

    def used_by(self, value: Any) -> Iterator[str]:
        """The names of the schemas to which `value` refers, directly or by others. A name may come twice."""
        seen: set[str] = set()
        waiting = list(_references(value))
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                yield name
                waiting += _references(self.components[name])

    def _name(self, struct: type[Struct]) -> str | None:
        whole = _short(f"{struct.__module__}.{struct.__qualname__}")
        return next((name for name in (whole, struct.__name__) if name in self.components), None)


def shape(type_: Any) -> Any:
    """The Struct that describes an annotated dictionary; any other type as it is."""
    if get_origin(type_) is Annotated:
        for told in type_.__metadata__:
            if isinstance(told, type) and issubclass(told, Struct):
                return told
    return type_


def structs(described: Iterable[Any]) -> list[type[Struct]]:
    """The Structs in `described`, and those of their fields."""
    found: dict[type[Struct], None] = {}
    waiting = list(described)
    while waiting:
        type_ = waiting.pop()
        if isinstance(type_, type) and issubclass(type_, Struct):
            if type_ not in found:
                found[type_] = None
                waiting += [field.type for field in msgspec.structs.fields(type_)]
        elif get_origin(type_) is Annotated:
            waiting.append(type_.__origin__)
        elif get_origin(type_) in {Union, types.UnionType, list, tuple, dict}:
            waiting += get_args(type_)
    return list(found)


def fields(schema: Schema) -> Mapping[str, Schema]:
    """The members of an object, by name."""
    members: Mapping[str, Schema] = schema.get("properties", {})
    return members


def _describe(schema: Schema, struct: type[Struct]) -> None:
    """Add the sentences below the attributes of `struct` to the members of its schema."""
    known: dict[str, str] = {}
    for owner in reversed([one for one in struct.__mro__ if one is not Struct and issubclass(one, Struct)]):
        known |= sentences(owner)
    for field in msgspec.structs.fields(struct):
        member = schema["properties"][field.encode_name]
        if told := known.get(field.name) or FIELDS.get(field.encode_name):
            member.setdefault("description", told)


def _short(name: str) -> str:
    """The name of a component: msgspec names a Struct by its module if another one has the same name."""
    return name.removeprefix("threepid.").removeprefix("api.")


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str) and reference.startswith(PLACE):
            yield reference.removeprefix(PLACE)
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


def _tidy(value: Any) -> Any:
    """A schema in which patterns are ECMA regular expressions, and names of components are short."""
    if isinstance(value, dict):
        tidy = {name: _tidy(member) for name, member in value.items()}
        if isinstance(pattern := value.get("pattern"), str):
            tidy["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
        if isinstance(reference := value.get("$ref"), str):
            tidy["$ref"] = PLACE + _short(reference.removeprefix(PLACE))
        return tidy
    return [_tidy(member) for member in value] if isinstance(value, list | tuple) else value
