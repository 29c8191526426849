"""Strict JSON: UTF-8 objects, bounded depth, no duplicate keys, no NaN, integers within ±2^53, no coercion.

https://spec.matrix.org/latest/appendices/#canonical-json
https://spec.matrix.org/latest/client-server-api/#standard-error-response
"""

import json
import re
from typing import Any, Final, TypeVar

import msgspec

from threepid.i18n import Text
from threepid.spec.errors import BadJson, InvalidParam, MatrixError, MissingParam, NotJson

T = TypeVar("T")

MAX_DEPTH: Final = 32
MAX_INT: Final = 2**53
_MAX_DIGITS: Final = 20
_ESCAPED_TROUBLE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# Possessive, and matches an unterminated string: otherwise the search restarts at each of its quotes, in quadratic time.
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', re.DOTALL)


class _Refused(Exception):
    """A value that JSON's grammar allows and this parser rejects."""

    def __init__(self, text: Text) -> None:
        super().__init__(text)
        self.text = text


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises NotJson or BadJson."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise NotJson(cause="not UTF-8") from None
    if "\0" in text or text.startswith("\ufeff"):
        raise NotJson(cause="NUL or byte order mark")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        raise BadJson(Text("The JSON is nested too deeply."))
    try:
        value = _decoder.decode(text)
    except _Refused as error:
        raise BadJson(error.text) from None
    except ValueError:
        raise NotJson from None
    if not isinstance(value, dict):
        raise BadJson(Text("The request body is not a JSON object."))
    if _ESCAPED_TROUBLE.search(text):
        _refuse_unusable_strings(value)
    return value


def convert(value: Any, type_: type[T], *, lax: bool = False) -> T:
    """`value` as `type_`, strictly; `lax` reads numbers and booleans from strings, as forms have only strings.

    Raises MissingParam for an absent member, InvalidParam for a value outside its range or pattern, and for a wrong type
    BadJson (InvalidParam if `lax`).
    """
    try:
        return msgspec.convert(value, type_, strict=not lax)
    except msgspec.ValidationError as error:
        refusal = _as_matrix_error(str(error))
        raise InvalidParam(refusal.text) if lax and isinstance(refusal, BadJson) else refusal from None


_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>[A-Za-z0-9_.-]{1,64})`")
"""A name that the answer may repeat."""
_OUTSIDE: Final = re.compile(r"Expected `?(str|int|float|array|object)`? (matching|of length|<=|>=|<|>|with)")
"""What msgspec says of a value outside its range or pattern. A part of a path, which is converted alone, has no place."""
_PLACE: Final = re.compile(r" - at `\$(?P<path>[^`]*)`$")


def _as_matrix_error(message: str) -> MatrixError:
    place = _PLACE.search(message)
    what = _PLACE.sub("", message)
    where = place["path"].removeprefix(".") if place else ""
    if missing := re.match(r"Object missing required field `(?P<name>[^`]+)`", what):
        return MissingParam.named(f"{where}.{missing['name']}" if where else missing["name"])
    if what.startswith("Invalid enum value") or _OUTSIDE.match(what):
        return InvalidParam(Text("'%(name)s' has an invalid value.", name=where) if where else None)
    if unknown := _UNKNOWN.fullmatch(what):
        return BadJson(Text("There is no '%(name)s' here.", name=unknown["name"]))
    return BadJson(Text("'%(name)s' has the wrong type.", name=where) if where else None)


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused(Text("The JSON has the same key twice."))
    return members


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS or abs(value := int(digits)) > MAX_INT:
        raise _Refused(Text("The JSON has an integer beyond 2^53."))
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _Refused(Text("The JSON has a number that is too large."))
    return value


def _constant(name: str) -> Any:
    raise ValueError(name)


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def _depth(body: bytes) -> int:
    deepest = depth = 0
    for match in _BRACKETS.finditer(body):
        token = match[0]
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest


def _refuse_unusable_strings(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value or not usable(value):
            raise BadJson(Text("A string in the JSON has a NUL or a lone surrogate."))
    elif isinstance(value, dict):
        for key, member in value.items():
            _refuse_unusable_strings(key)
            _refuse_unusable_strings(member)
    elif isinstance(value, list):
        for member in value:
            _refuse_unusable_strings(member)


def usable(text: str) -> bool:
    """Is `text` free of NULs and lone surrogates?"""
    return "\0" not in text and (text.isascii() or _SURROGATE.search(text) is None)
