"""The reference of the settings: the JSON Schema, the list of all settings, and an example file."""

import ast
import functools
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType, ModuleType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

from threepid.config.section import Example, Section
from threepid.config.sections import Config
from threepid.config.sections.limits import Limit
from threepid.config.walk import metadata, path_kind, sections


class Setting(Struct, frozen=True):
    """One setting: its table, key, type in words, default in TOML (None: required), and description.

    The example file shows `example` for a setting without a default.
    """

    table: str
    key: str
    type: str
    default: str | None
    sentence: str
    example: str


def schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file."""
    return msgspec.json.schema(Config)


def all_settings(config: type[Struct] = Config) -> list[Setting]:
    """Every setting of every table, in the order of the file."""
    found: list[Setting] = []
    for table in msgspec.structs.fields(config):
        for section in sections(table.type):
            found += _of_table(table.encode_name, section)
    return found


def transports(table: str) -> dict[str, list[Setting]]:
    """The settings of each transport of `email` or `sms`."""
    via = f"{table}.via"
    return {str(kind.__struct_config__.tag): list(_of_table(via, kind)) for kind in sections(_type_at(Config, via))}


def example(config: type[Struct] = Config, values: Mapping[str, str] = MappingProxyType({})) -> str:
    """A configuration file with the description and the default of every setting, each in a line to be uncommented alone.

    The settings in `values` are uncommented: their TOML by full name, such as `server.name`.

    The header of an optional table would enable it, so the keys of these tables come first, with their full names.
    """
    tables = [field.encode_name for field in msgspec.structs.fields(config)]
    *first, last = [name for name in tables if _is_optional(config, name)]
    lines = [
        "# Every setting with its default. Uncomment what you change: each line stands for itself.",
        "",
        f"# The tables {', '.join(first)} and {last} are off until one of their settings is uncommented.",
    ]
    header = ""
    table = None
    for setting in sorted(all_settings(config), key=lambda one: not _is_optional(config, one.table)):
        if setting.table != table:
            table = setting.table
            lines += ["", f"# {_doc(config, table)}"]
            if not _is_optional(config, table) and "." not in table:
                header = table
                lines.append(f"[{table}]")
        value = setting.example if setting.default is None else setting.default
        name = f"{setting.table}.{setting.key}".removeprefix(f"{header}.")
        given = values.get(f"{setting.table}.{setting.key}")
        lines += [f"# {setting.sentence}", f"# {name} = {value}" if given is None else f"{name} = {given}"]
    return "\n".join(lines) + "\n"


def _of_table(table: str, section: type[Struct]) -> Iterator[Setting]:
    told = sentences(section)
    nested = []
    for field in msgspec.structs.fields(section):
        if inner := _nested(field.type):
            nested.append((f"{table}.{field.encode_name}", inner))
            continue
        made = field.default_factory() if field.default_factory is not NODEFAULT else field.default
        yield Setting(
            table,
            field.encode_name,
            _readable(field.type),
            None if made is NODEFAULT else _toml(made),
            told[field.name],
            next((one.toml for one in metadata(field.type) if isinstance(one, Example)), '"…"'),
        )
    for name, inner in nested:
        yield from _of_table(name, inner)


def _nested(type_: Any) -> type[Struct] | None:
    """The table, if a setting is one; None for a value and for a list of tables."""
    choices = get_args(type_) if get_origin(type_) in {Union, UnionType} else (type_,)
    return next((one for one in choices if isinstance(one, type) and issubclass(one, Section)), None)


def _type_at(type_: Any, place: str) -> Any:
    for key in place.split("."):
        type_ = next(
            field.type
            for section in sections(type_)
            for field in msgspec.structs.fields(section)
            if field.encode_name == key
        )
    return type_


def _is_optional(config: type[Struct], table: str) -> bool:
    """Is this table, or the table that contains it, off unless the file has it?"""
    return type(None) in get_args(_type_at(config, table.partition(".")[0]))


def _doc(config: type[Struct], table: str) -> str:
    """The description of a table, in one line."""
    return " ".join((inspect.getdoc(_nested(_type_at(config, table))) or "").split())


@functools.cache
def sentences(section: type[Struct]) -> Mapping[str, str]:
    """The docstring below each attribute in the source, by attribute."""
    found = {}
    declaration = _declarations(sys.modules[section.__module__]).get(section.__qualname__)
    if declaration is None:  # in a function
        (declaration,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    body = declaration.body if isinstance(declaration, ast.ClassDef) else []
    for member, following in pairwise(body):
        if (
            isinstance(member, ast.AnnAssign)
            and isinstance(member.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found[member.target.id] = " ".join(str(following.value.value).split())
    return found


@functools.cache
def _declarations(module: ModuleType) -> Mapping[str, ast.stmt]:
    """The classes of a module by name: `inspect.getsource` would parse the module once for each of them."""
    return {one.name: one for one in ast.parse(inspect.getsource(module)).body if isinstance(one, ast.ClassDef)}


def _readable(type_: Any) -> str:
    kind = path_kind(type_)
    bare = type_.__origin__ if get_origin(type_) is Annotated else type_
    if get_origin(bare) is tuple:
        inner = get_args(bare)[0]
        tables = sections(inner)
        noun = _noun(tables[0]) if tables else kind.noun if kind else ""
        return f"list of {noun}s" if noun else f"list of {_readable(inner)}"
    if kind:
        return kind.noun
    if get_origin(bare) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(bare))
    if isinstance(bare, type) and issubclass(bare, Struct):
        return _noun(bare)
    words = {str: "text", int: "number", float: "number", bool: "true or false", dict: "table of texts"}
    return words.get(get_origin(bare) or bare, str(bare))


def _noun(section: type[Struct]) -> str:
    """The word for a table that is a value."""
    return str(section.__struct_config__.tag_field or getattr(section, "noun", "table"))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Limit):
        return f"{{ burst = {value.burst}, per_hour = {value.per_hour:g} }}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(member) for member in value) + "]"
    return f'"{value}"' if isinstance(value, str) else "{}" if isinstance(value, dict) else str(value)
