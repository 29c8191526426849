"""Filters of `/sync`. Any filter is accepted and ignored, because a sync is always empty.

https://spec.matrix.org/latest/client-server-api/#filtering
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from threepid.api.call import UserCall
from threepid.i18n import Text
from threepid.spec import errors
from threepid.spec.endpoint import Auth, Beside, client, endpoint

_EVERYTHING: Final = "0"


class Filter(Struct, frozen=True):
    """Any JSON object."""


class FilterId(Struct, frozen=True):
    """The ID that stands for the filter in `/sync`."""

    filter_id: str


def _check_owner(call: UserCall, user_id: str) -> None:
    if user_id != call.user_id:
        raise errors.Forbidden(Text("You can access only your own filters."))


@endpoint(
    "POST",
    client("/user/{user_id}/filter", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.Forbidden,),
    beside=Beside.HOMESERVER,
)
async def define_filter(call: UserCall, body: Filter, user_id: str) -> FilterId:  # noqa: ARG001 - see the module
    """Store a filter. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3useruseridfilter."""
    _check_owner(call, user_id)
    return FilterId(_EVERYTHING)


@endpoint(
    "GET",
    client("/user/{user_id}/filter/{filter_id}", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(errors.Forbidden, errors.NotFound),
    beside=Beside.HOMESERVER,
)
async def get_filter(call: UserCall, user_id: str, filter_id: Annotated[str, Meta(max_length=255)]) -> Filter:
    """Get a filter. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3useruseridfilterfilterid."""
    _check_owner(call, user_id)
    if filter_id != _EVERYTHING:
        raise errors.NotFound(Text("This filter does not exist."))
    return Filter()


ENDPOINTS = (define_filter, get_filter)
