"""Push rules: always none, because this server has no rooms. Clients do not start without an answer.

https://spec.matrix.org/latest/client-server-api/#push-rules-api
"""

from typing import Any

from threepid.api.call import UserCall
from threepid.spec.endpoint import Auth, Beside, client, endpoint


@endpoint("GET", client("/pushrules/", "r0", "v3", "unstable"), auth=Auth.ACCESS_TOKEN, beside=Beside.HOMESERVER)
async def get_push_rules(call: UserCall) -> dict[str, Any]:  # noqa: ARG001 - the same for everybody
    """Get the push rules. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3pushrules."""
    kinds = ("override", "content", "room", "sender", "underride")
    return {"global": {kind: [] for kind in kinds}}


ENDPOINTS = (get_push_rules,)
