"""Verifies captcha responses at a provider with a `siteverify` interface.

https://developers.google.com/recaptcha/docs/verify
"""

import contextlib
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlencode, urlsplit

from threepid.config import Captcha as Settings
from threepid.config import Secret
from threepid.remote.guard import Call, Guard, RemoteError

_MAX_RESPONSE: Final = 8_192
_HTTPS_PORT: Final = 443
_SETTING: Final = "accounts.captcha.verify_url"


class Captcha:
    """A captcha provider."""

    def __init__(self, guard: Guard, settings: Settings, secret: Secret) -> None:
        """Use the provider of `settings`, which gets `secret` with each response."""
        self._guard = guard
        self._url = urlsplit(settings.verify_url)
        self._secret = secret

    async def verify(self, response: str, *, client: str) -> bool:
        """Is `response`, from a browser at the IP address `client`, right? Raises RemoteError if the provider cannot say."""
        if not response or len(response) > _MAX_RESPONSE:
            return False
        form = {"secret": self._secret.reveal(), "response": response}
        with contextlib.suppress(ValueError):  # a caller over a Unix socket may have no address
            form["remoteip"] = str(ip_address(client))
        answer = await self._guard.call(
            Call(
                method="POST",
                host=self._url.hostname or "",
                port=self._url.port or _HTTPS_PORT,
                path=self._url.path or "/",
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(form).encode(),
                setting=_SETTING,
            )
        )
        if answer.status != HTTPStatus.OK:
            raise RemoteError(f"{self._url.hostname} ({_SETTING}): status {answer.status}")
        return answer.json().get("success") is True
