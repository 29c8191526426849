"""Filters of `/sync`: any is taken, because there is nothing here that it would let through or hold back.

https://spec.matrix.org/latest/client-server-api/#filtering
"""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from threepid.api.call import UserCall
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint

_EVERYTHING: Final = "0"


class Filter(Struct, frozen=True):
    """Whatever it says."""


class FilterId(Struct, frozen=True):
    """What `/sync` may be given instead of the filter."""

    filter_id: str


def _check_owner(call: UserCall, user_id: str) -> None:
    if user_id != call.user_id:
        raise errors.Forbidden("You can only have filters of your own.")


@endpoint(
    "POST",
    client("/user/{user_id}/filter", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.Forbidden,),
)
async def define_filter(call: UserCall, body: Filter, user_id: str) -> FilterId:  # noqa: ARG001 - see the module
    """Name a filter. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3useruseridfilter."""
    _check_owner(call, user_id)
    return FilterId(_EVERYTHING)


@endpoint(
    "GET",
    client("/user/{user_id}/filter/{filter_id}", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.Forbidden, errors.NotFound),
)
async def get_filter(call: UserCall, user_id: str, filter_id: Annotated[str, Meta(max_length=255)]) -> dict[str, Any]:
    """A filter by its name. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3useruseridfilterfilterid."""
    _check_owner(call, user_id)
    if filter_id != _EVERYTHING:
        raise errors.NotFound("There is no such filter.")
    return {}


ENDPOINTS = (define_filter, get_filter)
