"""Tells a homeserver that an address of one of its users was bound, with the invitations that waited for that.

https://spec.matrix.org/latest/server-server-api/#put_matrixfederationv13pidonbind
"""

from http import HTTPStatus
from typing import Any, Final

import msgspec

from threepid.remote.federation import Federation
from threepid.remote.guard import RemoteAnswer, RemoteError

_PATH: Final = "/_matrix/federation/v1/3pid/onbind"
_SUCCESS: Final = range(200, 300)
_NO_SUCH_METHOD: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})


async def tell(federation: Federation, server_name: str, body: dict[str, Any]) -> None:
    """Tell `server_name`. Raises RemoteError unless it confirms.

    The specification says PUT, but Synapse accepts only POST: https://github.com/matrix-org/matrix-spec/issues/524
    """
    for method in ("PUT", "POST"):
        answer = await federation.request(
            server_name,
            _PATH,
            method=method,
            headers={"Content-Type": "application/json"},
            body=msgspec.json.encode(body),
        )
        if answer.status in _SUCCESS:
            return
        if not _lacks_method(answer):
            break
    raise RemoteError(f"status {answer.status}")


def _lacks_method(answer: RemoteAnswer) -> bool:
    """Does the server not know this method? Until 2022, Synapse said so with status 400."""
    if answer.status != HTTPStatus.BAD_REQUEST:
        return answer.status in _NO_SUCH_METHOD
    try:
        return answer.json().get("errcode") == "M_UNRECOGNIZED"
    except RemoteError:
        return False
