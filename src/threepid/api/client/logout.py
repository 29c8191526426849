"""Logout. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3logout."""

from threepid.api.call import UserCall
from threepid.spec.endpoint import Auth, client, endpoint


@endpoint("POST", client("/logout", "r0", "v3", "unstable"), auth=Auth.ACCESS_TOKEN, while_locked=True)
async def logout(call: UserCall) -> None:
    """Log out this device. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3logout."""
    await call.homeserver.devices.log_out(call.requester, call.origin)


@endpoint("POST", client("/logout/all", "r0", "v3", "unstable"), auth=Auth.ACCESS_TOKEN, while_locked=True)
async def logout_all(call: UserCall) -> None:
    """Log out all devices of the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3logoutall."""
    await call.homeserver.devices.log_out_everywhere(call.user_id, call.origin)


ENDPOINTS = (logout, logout_all)
