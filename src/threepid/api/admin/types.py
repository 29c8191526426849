"""Structs that the endpoints of the admin API share. Unknown members of a body are errors: nothing is changed by accident."""

from typing import Annotated

from msgspec import Meta, Struct

from threepid.domain.addresses import Address, InvalidAddress, parse_address
from threepid.domain.operators.directory import MOST_LISTED
from threepid.spec import errors
from threepid.spec.endpoint import Path, other

Count = Annotated[int, Meta(ge=1, le=MOST_LISTED, description="Maximum number of entries in the answer.")]
Typed = Annotated[str, Meta(min_length=1, max_length=512)]


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request."""


class Contact(Body, frozen=True):
    """An email address or phone number."""

    medium: Typed
    address: Typed

    def parsed(self) -> Address:
        """The address. Raises InvalidParam."""
        try:
            return parse_address(self.medium, self.address)
        except InvalidAddress:
            raise errors.InvalidParam from None


class Nothing(Body, frozen=True):
    """A body without members."""


def admin(path: str) -> tuple[Path, ...]:
    """The path of an endpoint of the admin API."""
    return other(f"/_threepid/admin/v1{path}")
