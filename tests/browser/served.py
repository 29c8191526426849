"""Running servers, as apps and people use them."""

import json
import re
from collections.abc import Mapping
from typing import Any, Self

import httpx

from captcha_provider import CaptchaProvider
from rig import ServerProcess, wait_for

PASSWORD = "correct horse battery"
OPEN = """
[sms]
via = [{ transport = "console" }]
countries = ["DE", "GB", "US"]
"""


def guarded_tables(captcha: CaptchaProvider) -> str:
    """A captcha and two documents stand before an account."""
    return f"""
[accounts.captcha]
{toml(captcha.settings)}
[[accounts.terms]]
id = "privacy"
version = "1.0"
[accounts.terms.languages]
en = {{ name = "Privacy policy", url = "https://example.org/privacy" }}
de = {{ name = "Datenschutz", url = "https://example.org/datenschutz" }}
[[accounts.terms]]
id = "house_rules"
version = "3"
[accounts.terms.languages]
en = {{ name = "House rules", url = "https://example.org/rules" }}
[outbound]
{toml(captcha.outbound)}
"""


def toml(members: Mapping[str, object]) -> str:
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in members.items())


class Site:
    """A running server, as apps and people use it."""

    def __init__(self, process: ServerProcess, **environment: str) -> None:
        self.process = process
        self.base = process.base
        self._environment = environment

    def __enter__(self) -> Self:
        self.process.start(**self._environment)
        self.http = self.process.client()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        assert self.process.stop() == 0

    def begin(
        self, path: str = "/register", body: Any = None, *, access_token: str = "", **auth: Any
    ) -> dict[str, Any]:
        """The 401 answer of a request that needs authentication; `auth` completes a stage of it."""
        headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}
        given = {**(body or {}), **({"auth": auth} if auth else {})}
        answer = self.http.post(f"/_matrix/client/v3{path}", json=given, headers=headers)
        assert answer.status_code == 401, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def url(self, stage: str, session: str) -> str:
        return f"{self.base}/_matrix/client/v3/auth/{stage}/fallback/web?session={session}"

    def finish(self, session: str, path: str = "/register", *, access_token: str = "") -> httpx.Response:
        """The request again with nothing but the session, as the app sends it when a page has told that it is done."""
        headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}
        return self.http.post(f"/_matrix/client/v3{path}", json={"auth": {"session": session}}, headers=headers)

    def register(self, username: str) -> str:
        body = {"username": username, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        answer = self.http.post("/_matrix/client/v3/register", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def mail(self, recipient: str) -> str:
        """The newest mail to somebody, as text."""

        def look() -> str | None:
            for path, address in re.findall(
                r'href="(/mailbox/[^"]+)">.*?<bdi>(.*?)</bdi>', self.http.get("/mailbox/").text
            ):
                if address == recipient:
                    return self.http.get(path).text
            return None

        return str(wait_for(look, what=f"a mail to {recipient}"))

    def link(self, recipient: str) -> str:
        found = re.search(r"/confirm/[\w-]+", self.mail(recipient))
        assert found
        return self.base + found[0]

    def code(self, recipient: str) -> str:
        found = re.search(r"^ {4}(\d{6})\r?$", self.mail(recipient), re.MULTILINE)
        assert found
        return found[1]

    def text_code(self, number: str) -> str:
        """The code of the newest text message, which the console transport writes to the log."""
        log = self.process.directory / "log"

        def look() -> str | None:
            codes = re.findall(rf"A text to {re.escape(number)}\..*\n.*?\b(\d{{6}})\b", log.read_text())
            return codes[-1] if codes else None

        return str(wait_for(look, what=f"a text to {number}"))
