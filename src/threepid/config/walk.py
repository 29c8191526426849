"""Walks over the types and the values of a configuration. New settings are found here; nothing lists them."""

from collections.abc import Iterator
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from threepid.config.section import Names


def sections(type_: Any) -> list[type[Struct]]:
    """The tables that a value of `type_` may be or hold."""
    if isinstance(type_, type) and issubclass(type_, Struct):
        return [type_]
    return [section for argument in get_args(type_) for section in sections(argument)]


def members(section: type[Struct]) -> dict[str, Any]:
    """The types of the keys that may stand in a table."""
    found: dict[str, Any] = {field.encode_name: field.type for field in msgspec.structs.fields(section)}
    if section.__struct_config__.tag_field:
        found[section.__struct_config__.tag_field] = Literal[section.__struct_config__.tag]
    return found


def metadata(type_: Any) -> Iterator[Any]:
    """Everything that the annotations in `type_` say; the outermost first."""
    yield from getattr(type_, "__metadata__", ())
    for argument in get_args(type_):
        yield from metadata(argument)


def names(type_: Any) -> Names | None:
    """What a text of `type_`, or each text in a list of them, names; None if it is no path."""
    return next((one for one in metadata(type_) if isinstance(one, Names)), None)


def paths(config: Struct) -> Iterator[tuple[str, Names, str]]:
    """Every path that is set: its place, what it names, and the path."""
    for table in msgspec.structs.fields(type(config)):
        yield from _paths(f"[{table.encode_name}] ", getattr(config, table.name))


def _paths(prefix: str, section: Any) -> Iterator[tuple[str, Names, str]]:
    if not isinstance(section, Struct):
        return
    for field in msgspec.structs.fields(type(section)):
        place = f"{prefix}{field.encode_name}"
        value = getattr(section, field.name)
        yield from _paths(f"{place}.", value)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and text and (kind := names(field.type)):
                yield place, kind, text
        if isinstance(value, tuple):
            for index, member in enumerate(value):
                yield from _paths(f"{place}[{index}].", member)
        if isinstance(value, dict):
            for key, member in value.items():
                yield from _paths(f"{place}.{key}.", member)
