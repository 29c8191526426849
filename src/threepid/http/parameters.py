"""What a request carries outside its JSON body: query and form parameters."""

from typing import Final
from urllib.parse import parse_qsl

from threepid.spec.errors import InvalidParam
from threepid.spec.strict_json import usable

_MAX_FIELDS: Final = 100


def parse_parameters(text: str) -> dict[str, str]:
    """Decoded query or form parameters. Raises InvalidParam for a key that comes twice and for bytes that are no text."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidParam("The parameters are not readable.") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise InvalidParam("A parameter is given twice.")
    if not all(usable(key) and usable(value) for key, value in pairs):
        raise InvalidParam("A parameter has characters that are not allowed.")
    return parameters


def parse_form(body: bytes) -> dict[str, str]:
    """The parameters of an urlencoded body. Raises InvalidParam."""
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidParam("The form is not readable.") from None
    return parse_parameters(text)
