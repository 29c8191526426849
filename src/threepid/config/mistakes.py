"""Finds every mistake in the form of a configuration: unknown and missing settings, and values of a wrong type."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Struct

from threepid.config import wording
from threepid.config.walk import members, sections

_PLACE: Final = re.compile(r" - at `(?:key` in `)?\$(?P<path>[^`]*)`$")
_INDEX: Final = re.compile(r"\[[^]]*\]")


class Mistake(Struct, frozen=True):
    """A mistake: the place of the setting, such as `email.via[0].port`, and what is wrong, with the place in front."""

    place: str
    sentence: str

    @property
    def table(self) -> str:
        """The outermost table of the place."""
        return _INDEX.sub("", self.place).partition(".")[0]


def mistakes(tree: Mapping[str, Any], to: type[Struct]) -> list[Mistake]:
    """Every mistake in a parsed file for the Struct `to`, in the order of the file. msgspec alone stops at the first."""
    return list(_in_table(tree, to, "", to))


class Mended(Struct, frozen=True):
    """What is left of a file without its mistakes, so that the rules for values can be asked about that, too."""

    tree: dict[str, Any]
    lost_tables: frozenset[str]
    """The outermost tables that are left out, and those that may be meant by misspelt ones."""
    lost: frozenset[tuple[str, str]]
    """The outermost table and the name of each setting that is left out, and of those that may be meant."""

    def tells_nothing_of(self, problem: str) -> bool:
        """May a problem with `tree` only follow from a mistake?"""
        return any(f"[{table}]" in problem for table in self.lost_tables) or any(
            f"[{table}]" in problem and re.search(rf"\b{re.escape(name)}\b", problem) for table, name in self.lost
        )


def mended(tree: Mapping[str, Any], found: Iterable[Mistake], to: type[Struct]) -> Mended:
    """`tree` without the settings in which a mistake was `found`, and with misspelt ones by the name that is meant.

    An outermost table that is still wrong is left out.
    """
    left, lost = copy.deepcopy(dict(tree)), set()
    for mistake in found:
        outer, _, name = mistake.place.rpartition(".")
        table = _table_at(left, outer)
        if table is None or name not in table or not outer:
            continue
        value = table.pop(name)
        meant = get_close_matches(name, [key for key in _at(outer, to)[1] if key not in table], n=1)
        if meant and name not in _at(outer, to)[1]:
            table[meant[0]] = value
        lost |= {(mistake.table, key) for key in (name, *meant)}
    wrong = {mistake.table for mistake in mistakes(left, to)}
    near = {key for table in wrong for key in get_close_matches(table, members(to), n=1)}
    return Mended(
        {key: value for key, value in left.items() if key not in wrong}, frozenset(wrong | near), frozenset(lost)
    )


def _table_at(tree: Any, place: str) -> dict[str, Any] | None:
    """The table at a place such as `email.via[0]`; None if there is none."""
    for step in re.findall(r"[^.[\]]+", place):
        if isinstance(tree, list | tuple) and step.isdigit() and int(step) < len(tree):
            tree = tree[int(step)]
        elif isinstance(tree, dict):
            tree = tree.get(step)
        else:
            return None
    return tree if isinstance(tree, dict) else None


def tables_of(type_: Any, value: Mapping[str, Any]) -> list[type[Struct]]:
    """The tables in `type_` that `value` may be; for a transport, only the one that it names."""
    return [
        section
        for section in sections(type_)
        if (tag := section.__struct_config__.tag_field) is None or value.get(tag) == section.__struct_config__.tag
    ]


def _in_table(table: Mapping[str, Any], section: type[Struct], place: str, root: type[Struct]) -> Iterator[Mistake]:
    known = members(section)
    meant = {near for key in table if key not in known for near in get_close_matches(key, known, n=1)}
    for key, value in table.items():
        inner = f"{place}.{key}" if place else key
        if key in known:
            yield from _in_value(value, known[key], inner, root)
        else:
            yield _mistake(f"Object contains unknown field `{key}`", place, root, inner)
    for field in msgspec.structs.fields(section):
        if field.required and field.encode_name not in table and field.encode_name not in meant:
            yield _mistake(f"Object missing required field `{field.encode_name}`", place, root)


def _in_value(value: Any, type_: Any, place: str, root: type[Struct]) -> Iterator[Mistake]:
    found: list[Mistake] = []
    if isinstance(value, Mapping) and not _is_dict(type_) and len(tables := tables_of(type_, value)) == 1:
        found = list(_in_table(value, tables[0], place, root))
    elif isinstance(value, list | tuple) and (element := _element(type_)) is not None:
        for index, member in enumerate(value):
            found += _in_value(member, element, f"{place}[{index}]", root)
    yield from found
    if not found and (message := _why_not(value, type_)) is not None:
        match = _PLACE.search(message)
        what, below = (message[: match.start()], match["path"]) if match else (message, "")
        yield _mistake(what, f"{place}{below.replace('[...]', '')}", root)


def _why_not(value: Any, type_: Any) -> str | None:
    """The message of msgspec about a value that is no `type_`; None if it is."""
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _element(type_: Any) -> Any:
    """The type of the elements of a list; None if `type_` is no list."""
    if get_origin(type_) in {tuple, dict}:
        return None if _is_dict(type_) else get_args(type_)[0]
    return next((found for argument in get_args(type_) if (found := _element(argument)) is not None), None)


def _is_dict(type_: Any) -> bool:
    return get_origin(type_) is dict or any(_is_dict(argument) for argument in get_args(type_))


def _mistake(what: str, place: str, root: type[Struct], named: str | None = None) -> Mistake:
    return Mistake(named or place, _sentence(what, place, root))


def _sentence(what: str, place: str, root: type[Struct]) -> str:
    """A message of msgspec about a value as `[table] key: fault`, with a suggestion for a misspelt name."""
    types, keys = _at(place, root)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL)
    missing = re.fullmatch(r"Object missing required field `(.*)`", what, re.DOTALL)
    wrong = re.fullmatch(r"Invalid (?:enum )?value '(.*)'", what, re.DOTALL)
    if unknown:
        place = f"{place}.{unknown[1]}" if place else unknown[1]
        what = f"there is no such setting{_hint(unknown[1], keys)}"
    elif missing:
        what = f"`{missing[1]}` is missing"
    elif wrong:
        choices = [choice for type_ in types for choice in _choices(type_)]
        what = f"{wrong[1]!r} is none of {', '.join(choices)}{_hint(wrong[1], choices)}"
    else:
        what = wording.of_value(what, types)
    table, _, key = place.partition(".")
    return f"[{table}] {key}: {what}" if key else f"[{table}]: {what}" if table else what


def _at(place: str, root: type[Struct]) -> tuple[list[Any], list[str]]:
    """The possible types of the value at `place`, and the keys that it may have."""
    types: list[Any] = [root]
    for key in _INDEX.sub("", place).split(".") if place else ():
        tables = [members(section) for type_ in types for section in sections(type_)]
        types = [table[key] for table in tables if key in table]
    return types, [key for type_ in types for section in sections(type_) for key in members(section)]


def _choices(type_: Any) -> Iterable[str]:
    if get_origin(type_) is Literal:
        return [str(choice) for choice in get_args(type_)]
    return [choice for argument in get_args(type_) for choice in _choices(argument)]


def _hint(given: str, known: Iterable[str]) -> str:
    near = get_close_matches(given, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""
