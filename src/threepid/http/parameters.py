"""Query and form parameters."""

from typing import Final
from urllib.parse import parse_qsl

from threepid.i18n import Text
from threepid.spec.errors import InvalidParam
from threepid.spec.strict_json import usable

_MAX_FIELDS: Final = 100


def parse_parameters(text: str, *, any_text: bool = False) -> dict[str, str]:
    """Decoded query or form parameters. Raises InvalidParam for repeated keys, over 100 fields and, without `any_text`, NULs."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidParam(Text("The parameters are malformed.")) from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise InvalidParam(Text("A parameter is given twice."))
    if not any_text and not all(usable(key) and usable(value) for key, value in pairs):
        raise InvalidParam(Text("A parameter has invalid characters."))
    return parameters


def parse_form(body: bytes, *, any_text: bool = False) -> dict[str, str]:
    """The parameters of an urlencoded body. Raises InvalidParam as `parse_parameters` does."""
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidParam(Text("The form is malformed.")) from None
    return parse_parameters(text, any_text=any_text)
