"""Traverses the types and values of a configuration, so that no list of settings is needed."""

from collections.abc import Iterator
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from threepid.config.section import PathTo


def sections(type_: Any) -> list[type[Struct]]:
    """The tables that a value of `type_` may be or contain."""
    if isinstance(type_, type) and issubclass(type_, Struct):
        return [type_]
    return [section for argument in get_args(type_) for section in sections(argument)]


def members(section: type[Struct]) -> dict[str, Any]:
    """The type of each key that a table may have."""
    found: dict[str, Any] = {field.encode_name: field.type for field in msgspec.structs.fields(section)}
    if section.__struct_config__.tag_field:
        found[section.__struct_config__.tag_field] = Literal[section.__struct_config__.tag]
    return found


def metadata(type_: Any) -> Iterator[Any]:
    """All metadata of the annotations in `type_`, the outermost first."""
    yield from getattr(type_, "__metadata__", ())
    for argument in get_args(type_):
        yield from metadata(argument)


def path_kind(type_: Any) -> PathTo | None:
    """The PathTo of `type_`, or of the elements of a list; None if the string is not a path."""
    return next((one for one in metadata(type_) if isinstance(one, PathTo)), None)


def paths(config: Struct) -> Iterator[tuple[str, PathTo, str]]:
    """Every path that is set: its place, its PathTo, and the path."""
    for table in msgspec.structs.fields(type(config)):
        yield from _paths(f"[{table.encode_name}] ", getattr(config, table.name))


def _paths(prefix: str, section: Any) -> Iterator[tuple[str, PathTo, str]]:
    if not isinstance(section, Struct):
        return
    for field in msgspec.structs.fields(type(section)):
        place = f"{prefix}{field.encode_name}"
        value = getattr(section, field.name)
        yield from _paths(f"{place}.", value)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and text and (kind := path_kind(field.type)):
                yield place, kind, text
        if isinstance(value, tuple):
            for index, member in enumerate(value):
                yield from _paths(f"{place}[{index}].", member)
        if isinstance(value, dict):
            for key, member in value.items():
                yield from _paths(f"{place}.{key}.", member)
