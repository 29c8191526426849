"""Addresses and codes as people type them into forms."""

import unicodedata
from typing import Final

from threepid.domain.addresses import Address, AmbiguousNumber, Email, InvalidAddress, Phone, parse_address
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam

_WRONG: Final = {
    Email.medium: Text("We cannot send to this email address. Please check it."),
    Phone.medium: Text("We cannot send to this phone number. Please check it."),
}


def typed_address(medium: str, text: str, country: str | None = None) -> Address:
    """The address in a field. Raises InvalidParam with a sentence for the person.

    A phone number without its calling code is one of `country`.
    """
    try:
        return parse_address(medium, text, country)
    except AmbiguousNumber as error:
        raise InvalidParam(error.text) from None
    except InvalidAddress:
        raise InvalidParam(_WRONG.get(medium)) from None


def typed_code(text: str) -> str:
    """The code or registration token in a field: in ASCII digits, without the blanks and invisible marks that are pasted along.

    Keyboards of many languages type digits of their own script, and mail programs put marks of the direction around a code.
    """
    return "".join(map(_in_ascii, text))


def _in_ascii(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    return "" if character.isspace() or category == "Cf" else character
