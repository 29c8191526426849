"""A real Sydent on loopback: `make sydent` installs it into `build/`. It is filled by its own API, as clients do."""

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from rig import Sink, wait_for

PYTHON: Final = Path(__file__).parent.parent / "build" / "sydent-venv" / "bin" / "python"
V1: Final = "/_matrix/identity/api/v1"
V2: Final = "/_matrix/identity/v2"
TERMS_URL: Final = "https://example.org/terms-2"

needs_sydent = pytest.mark.skipif(
    not PYTHON.exists(), reason="there is no Sydent in build/sydent-venv: `make sydent` installs it"
)

_CONFIG = """
[general]
server.name = {name}
log.level = INFO
pidfile.path = {directory}/pid
templates.path = {directory}/templates
brand.default = plain
terms.path = {terms}
ip.whitelist = 127.0.0.0/8,::1
[db]
db.file = sydent.db
[http]
clientapi.http.bind_address = 127.0.0.1
clientapi.http.port = {port}
client_http_base = {base}
federation.verifycerts = False
[email]
email.from = Sydent <noreply@example.org>
email.smtphost = 127.0.0.1
email.smtpport = {smtp_port}
[sms]
originators.44 = alpha:Matrix
[crypto]
ed25519.signingkey =
"""
_TERMS = """
master_version: "v2"
docs:
  terms:
    version: "2"
    langs:
      en:
        name: Terms
        url: {url}
"""
_MAIL = """From: %(from)s
To: %(to)s
Subject: {what}
MIME-Version: 1.0
Content-Type: text/plain; charset="utf-8"

token=%(token)s
{more}
"""


class RealSydent:
    """One Sydent. Its mails arrive at `sink`."""

    def __init__(self, directory: Path, sink: Sink, smtp_port: int, *, name: str, base: str, port: int) -> None:
        """`base` is the URL under which clients know it, at which another server will answer later on."""
        self.directory = directory
        self.sink = sink
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.name = name
        templates = directory / "templates" / "plain"
        templates.mkdir(parents=True)
        (templates / "verification_template.eml").write_text(_MAIL.format(what="Verify", more=""))
        (templates / "invite_template.eml").write_text(
            _MAIL.format(what="Invitation", more="key=%(ephemeral_private_key)s")
        )
        (templates / "verify_response_template.html").write_text("%(message)s")
        (directory / "terms.yaml").write_text(_TERMS.format(url=TERMS_URL))
        self.config = directory / "sydent.conf"
        self.config.write_text(
            _CONFIG.format(
                name=name, directory=directory, port=port, base=base, smtp_port=smtp_port, terms="terms.yaml"
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RealSydent":
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [str(PYTHON), "-m", "sydent.sydent"],
                stdout=output,
                stderr=output,
                cwd=self.directory,
                env={**os.environ, "PYTHONWARNINGS": "ignore", "SYDENT_CONF": "sydent.conf"},
                start_new_session=True,
            )
        wait_for(self._answers, 60, what="an answer of Sydent")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "output").read_text()[-3000:]
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}{V2}", timeout=5).status_code == 200
        return False

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(60)

    # -- what clients and homeservers do; `http` is a client of either server

    def post(self, path: str, body: dict[str, Any], token: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=30)

    def get(self, path: str, token: str | None = None, **query: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(f"{self.url}{path}", params=query, headers=headers, timeout=30)

    def validated_email(self, address: str, token: str, secret: str) -> str:
        """A validated session of an email address; returns its sid."""
        count = len(self.sink.mails)
        body = {"email": address, "client_secret": secret, "send_attempt": 1}
        answer = self.post(f"{V2}/validate/email/requestToken", body, token)
        assert answer.status_code == 200, answer.text
        mail = wait_for(lambda: self.sink.mails[count:], what="a mail")[0]
        return self._submit("email", answer.json()["sid"], secret, self.field(mail.text, "token"), token)

    def validated_phone(self, number: str, token: str, secret: str) -> str:
        """The same for a phone number. Its only SMS provider is on the internet, so the code comes from the database."""
        body = {"phone_number": number, "country": "GB", "client_secret": secret, "send_attempt": 1}
        self.post(f"{V2}/validate/msisdn/requestToken", body, token)
        with contextlib.closing(sqlite3.connect(self.directory / "sydent.db")) as database:
            query = (
                "SELECT s.id, t.token FROM threepid_validation_sessions s JOIN threepid_token_auths t "
                "ON t.validationSession = s.id WHERE s.medium = 'msisdn' AND s.clientSecret = ?"
            )
            sid, code = database.execute(query, (secret,)).fetchone()
        return self._submit("msisdn", str(sid), secret, code, token)

    def _submit(self, medium: str, sid: str, secret: str, code: str, token: str) -> str:
        body = {"sid": sid, "client_secret": secret, "token": code}
        answer = self.post(f"{V2}/validate/{medium}/submitToken", body, token)
        assert answer.json() == {"success": True}, answer.text
        return sid

    def bind(self, sid: str, secret: str, mxid: str, token: str) -> dict[str, Any]:
        answer = self.post(f"{V2}/3pid/bind", {"sid": sid, "client_secret": secret, "mxid": mxid}, token)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    @staticmethod
    def field(text: str, name: str) -> str:
        found = re.search(rf"^{name}=(\S+)", text, re.MULTILINE)
        assert found, text
        return found[1]
