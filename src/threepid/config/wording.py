"""Rewords the libraries' messages about a wrong configuration, without the names of their types."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from msgspec import Meta

_KINDS: Final[Mapping[str, str]] = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "array": "a list in [ ]",
    "object": "a table in { }",
    "datetime": "a date",
    "date": "a date",
    "time": "a time",
}
_WRONG_KIND: Final = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`")
_OUT_OF_RANGE: Final = re.compile(r"Expected `(?P<kind>\w+)` (?P<sign>>=|<=|>|<) (?P<limit>[0-9.]+)")
_SIGNS: Final[Mapping[str, str]] = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_WRONG_LENGTH: Final = re.compile(r"Expected `(?P<kind>\w+)` of length (?P<sign>>=|<=) (?P<limit>[0-9]+)")
_OF_WHAT: Final[Mapping[str, str]] = {"str": "character", "array": "entry", "object": "entry"}

_TWICE: Final = "this table is there twice: write its settings beside those that are there already"
_OF_TOML: Final[tuple[tuple[str, str], ...]] = (
    ("Expected '=' after a key", "after a key comes = and a value"),
    ("Cannot overwrite a value", "this key is there twice"),
    ("Duplicate inline table key", "this key is there twice"),
    ("Cannot declare", _TWICE),
    ("Cannot redefine namespace", _TWICE),
    ("Cannot mutate immutable namespace", "this table is there already, as a value in { }"),
    ("Invalid initial character for a key part", "a key is expected here"),
    ("Expected ']'", "the ] of a table is missing"),
    ("Expected newline or end of document", "one line holds one setting: something follows it here"),
    ("Invalid statement", "a line begins with a key or with the [ of a table"),
    ("Invalid date or datetime", "this is no date"),
    ("Invalid hex value", "an escape in double quotes is not complete"),
    ("Escaped character", "an escape in double quotes stands for no character"),
    ("Invalid value", "a value is expected here: text stands in quotes, and truth values are true and false"),
    ("Unclosed array", "the ] of a list is missing"),
    ("Unclosed inline table", "the } of a table is missing, or a comma"),
    ("Unterminated string", "the quotes of a text are not closed"),
    ("Expected \"'", "the quotes of a text are not closed"),
    ("Expected '\"", "the quotes of a text are not closed"),
    ("Illegal character", "there is a character that TOML does not allow here, such as a line end in a text"),
    ("Unescaped", "a backslash in double quotes is written twice; in single quotes it stands for itself"),
    ("Expected", "something is missing here"),
)
_POSITION: Final = re.compile(r"\(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)")


def of_value(what: str, types: Iterable[Any]) -> str:
    """A message of msgspec about a value that matches none of `types`, in our words."""
    if match := _WRONG_KIND.fullmatch(what):
        wanted = [_KINDS[kind] for kind in match["wanted"].split(" | ") if kind in _KINDS]
        got = _KINDS.get(match["got"])
        return f"must be {' or '.join(wanted) or 'something else'}" + (f", and is {got}" if got else "")
    if match := _OUT_OF_RANGE.fullmatch(what):
        return f"must be {_SIGNS[match['sign']]} {match['limit'].removesuffix('.0')}"
    if match := _WRONG_LENGTH.fullmatch(what):
        unit = _OF_WHAT.get(match["kind"], "entry")
        unit = unit if match["limit"] == "1" else f"{unit.removesuffix('y')}ies" if unit.endswith("y") else f"{unit}s"
        return f"must have {_SIGNS[match['sign']]} {match['limit']} {unit}"
    described = [text for type_ in types for text in _descriptions(type_)]
    return f"must be {described[0]}" if described else "has a form that is not allowed"


def of_toml(message: str) -> str:
    """A message of tomllib in our words, after the position of the error."""
    why = next((ours for theirs, ours in _OF_TOML if message.startswith(theirs)), "this cannot be read")
    match = _POSITION.search(message)
    if match is None:
        return why
    return f"line {match['line']}, column {match['column']}: {why}" if match["line"] else f"at its end: {why}"


def _descriptions(type_: Any) -> list[str]:
    """The descriptions in the metadata of `type_`."""
    own = [one.description for one in getattr(type_, "__metadata__", ()) if isinstance(one, Meta) and one.description]
    return own + [text for argument in get_args(type_) for text in _descriptions(argument)]
