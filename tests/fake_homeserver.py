"""A homeserver on loopback that says whose OpenID token it is asked about, and takes note of bound addresses."""

import contextlib
from collections.abc import Iterator
from typing import Any

from fake_identity_server import Asked, FakeIdentityServer

ON_BIND = "/_matrix/federation/v1/3pid/onbind"
_USERINFO = "/_matrix/federation/v1/openid/userinfo"
TOLD: tuple[int, Any] = (200, {})


class FakeHomeserver(FakeIdentityServer):
    """Its users are told apart by their OpenID tokens: `bob`'s is `bob`."""

    def __init__(self) -> None:
        super().__init__()
        self.replies = {_USERINFO: self._userinfo, ON_BIND: TOLD}

    def user_id(self, localpart: str) -> str:
        return f"@{localpart}:{self.name}"

    def openid(self, localpart: str) -> dict[str, Any]:
        """What a user hands to an identity server."""
        return {
            "access_token": localpart,
            "token_type": "Bearer",
            "matrix_server_name": self.name,
            "expires_in": 3600,
        }

    @property
    def told(self) -> list[Asked]:
        """The calls that told of bound addresses, rejected ones too."""
        return [asked for asked in self.asked if asked.uri == ON_BIND]

    def _userinfo(self, asked: Asked) -> tuple[int, Any]:
        return 200, {"sub": self.user_id(asked.uri.rpartition("=")[2])}


@contextlib.contextmanager
def homeserver() -> Iterator[FakeHomeserver]:
    made = FakeHomeserver()
    made.start()
    try:
        yield made
    finally:
        made.stop()
