"""Push rules: always none, because this server has no rooms. Clients do not start without an answer.

https://spec.matrix.org/latest/client-server-api/#push-rules-api
"""

from msgspec import Struct, field

from threepid.api.call import UserCall
from threepid.spec.endpoint import Auth, Beside, client, endpoint


class Rules(Struct, frozen=True):
    """The rules of each kind: none."""

    override: tuple[()] = ()
    content: tuple[()] = ()
    room: tuple[()] = ()
    sender: tuple[()] = ()
    underride: tuple[()] = ()


class PushRules(Struct, frozen=True):
    """The push rules of an account."""

    everywhere: Rules = field(name="global", default=Rules())


@endpoint("GET", client("/pushrules/", "r0", "v3", "unstable"), auth=Auth.ACCESS_TOKEN, beside=Beside.HOMESERVER)
async def get_push_rules(call: UserCall) -> PushRules:  # noqa: ARG001 - the same for everybody
    """Get the push rules. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3pushrules."""
    return PushRules()


ENDPOINTS = (get_push_rules,)
