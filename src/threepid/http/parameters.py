"""Query and form parameters."""

from typing import Final
from urllib.parse import parse_qsl

from threepid.i18n import Text
from threepid.spec.errors import InvalidParam
from threepid.spec.strict_json import usable

_MAX_FIELDS: Final = 100


def parse_parameters(text: str) -> dict[str, str]:
    """Decoded query or form parameters. Raises InvalidParam for repeated keys, invalid characters or over 100 fields."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidParam(Text("The parameters are malformed.")) from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise InvalidParam(Text("A parameter is given twice."))
    if not all(usable(key) and usable(value) for key, value in pairs):
        raise InvalidParam(Text("A parameter has invalid characters."))
    return parameters


def parse_form(body: bytes) -> dict[str, str]:
    """The parameters of an urlencoded body. Raises InvalidParam."""
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidParam(Text("The form is malformed.")) from None
    return parse_parameters(text)
