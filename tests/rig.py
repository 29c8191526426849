"""Real server processes on loopback, and a relay that keeps what it is sent."""

import contextlib
import email
import email.policy
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Any, seconds: float = 60.0, what: str = "it") -> Any:
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds} s")


RUNNING: "set[ServerProcess]" = set()
"""Servers that were started and not ended: the last test ends those of tests that failed."""


class ServerProcess:
    """`threepid serve` as an operator starts it."""

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        tables: str = "",
        server: str = "",
        scheme: str = "http",
        name: str | None = None,
        base: str | None = None,
        registration: str = "open",
        accounts: str = "",
        sender: str = "Test <noreply@example.org>",
        via: str = '{ transport = "mailbox" }',
    ) -> None:
        """`base` is the public URL, if a proxy stands before the server."""
        self.port = port or free_port()
        self.metrics_port = free_port()
        self.directory = directory
        self.scheme = scheme
        self.base = f"{scheme}://localhost:{self.port}"
        directory.mkdir(exist_ok=True)
        self.config = directory / "threepid.toml"
        self.config.write_text(
            f"""
[server]
name = "{name or f"localhost:{self.port}"}"
public_base_url = "{base or self.base}"
listen = "127.0.0.1:{self.port}"
metrics_listen = "127.0.0.1:{self.metrics_port}"
data_dir = "{directory / "data"}"
{server}
[accounts]
registration = "{registration}"
{accounts}
[identity]
[email]
from = "{sender}"
via = [{via}]
[limits]
all = "off"
{tables}
"""
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *prefix: str, **environment: str) -> "ServerProcess":
        self.begin(*prefix, **environment)
        self.await_answer()
        return self

    def begin(self, *prefix: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start the process, and do not wait for an answer."""
        self.log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "threepid", "serve", "--config", str(self.config)],
            stdout=self.log,
            stderr=self.log,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        RUNNING.add(self)
        return self.process

    def await_answer(self) -> None:
        """Wait until the server answers; kill it if it does not."""
        try:
            wait_for(self._answers, 60, what="an answer of the server")
        except BaseException:
            self.kill()
            raise

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "log").read_text()
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(f"{self.base}/_matrix/client/versions", verify=False, timeout=10)
            return answer.status_code in (200, 404)  # an identity server alone does not serve it
        return False

    def stop(self, *, group: bool = False) -> int:
        """SIGTERM (to the whole group for a server behind another program), and the exit status."""
        assert self.process is not None
        if group:
            os.killpg(self.process.pid, signal.SIGTERM)
        else:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        RUNNING.discard(self)
        self.log.close()
        return status

    def said(self, event: str) -> int:
        """How many lines of the log have this event."""
        return (self.directory / "log").read_text().count(event)

    def kill(self) -> None:
        """SIGKILL for the whole group: as if the power went."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        RUNNING.discard(self)
        self.log.close()

    def workers(self) -> list[int]:
        """The process ids of the supervisor's children."""
        assert self.process is not None
        found = []
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                if re.search(rf"^PPid:\t{self.process.pid}$", status.read_text(), re.MULTILINE):
                    found.append(int(status.parent.name))
        return found

    def sockets(self) -> int:
        """How many sockets the supervisor's children have open."""
        found = 0
        for process in self.workers():
            for file in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    found += stat.S_ISSOCK(file.stat().st_mode)
        return found

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.base, timeout=60, **more)


@contextlib.contextmanager
def whole(server: ServerProcess) -> Iterator[ServerProcess]:
    """A server that runs, and of which nothing stays behind, whatever goes wrong."""
    try:
        yield server.start()
        server.stop()
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()


def register(http: httpx.Client, username: str) -> str:
    body = {"username": username, "password": "long enough", "auth": {"type": "m.login.dummy"}}
    answer = http.post("/_matrix/client/v3/register", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def identity_token(http: httpx.Client, token: str) -> str:
    headers = {"Authorization": f"Bearer {token}"}
    user_id = http.get("/_matrix/client/v3/account/whoami", headers=headers).json()["user_id"]
    openid = http.post(f"/_matrix/client/v3/user/{user_id}/openid/request_token", json={}, headers=headers).json()
    answer = http.post("/_matrix/identity/v2/account/register", json=openid)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def request_token(
    http: httpx.Client, identity: str, address: str, *, secret: str = "secret", attempt: int = 1
) -> httpx.Response:
    return http.post(
        "/_matrix/identity/v2/validate/email/requestToken",
        json={"client_secret": secret, "email": address, "send_attempt": attempt},
        headers={"Authorization": f"Bearer {identity}"},
    )


class Received:
    """A mail that a relay took."""

    def __init__(self, envelope: Envelope) -> None:
        content = envelope.original_content or b""
        self.recipients = list(envelope.rcpt_tos)
        self.sender = envelope.mail_from
        self.raw = content
        message = email.message_from_bytes(content, policy=email.policy.SMTP)
        assert isinstance(message, EmailMessage)
        self.message = message
        plain = message.get_body(("plain",))
        assert isinstance(plain, EmailMessage)
        self.text = str(plain.get_content())

    @property
    def code(self) -> str:
        found = re.search(r"^ {4}(\d{6})\r?$", self.text, re.MULTILINE)
        assert found
        return found[1]

    @property
    def path(self) -> str:
        found = re.search(r"/confirm/[\w-]+", self.text)
        assert found
        return found[0]


class Sink:
    """A relay on loopback. `replies` scripts its answers: {"DATA": "451 later"}; a reply is used once unless kept."""

    def __init__(self) -> None:
        self.mails: list[Received] = []
        self.replies: dict[str, str] = {}
        self.lock = threading.Lock()

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := self.replies.get("MAIL"):
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := self.replies.get("RCPT"):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if reply := self.replies.get("DATA"):
            return reply
        with self.lock:
            self.mails.append(Received(envelope))
        return "250 OK"


@contextlib.contextmanager
def sink(port: int | None = None, **more: Any) -> Iterator[tuple[Sink, int]]:
    """A relay that listens on loopback."""
    handler = Sink()
    controller = Controller(handler, hostname="127.0.0.1", port=port or free_port(), **more)
    controller.start()
    try:
        yield handler, controller.port
    finally:
        controller.stop()
