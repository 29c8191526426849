"""A55: secrets that were planted everywhere are in no log, no other answer, no metric and not in the database.

`canaries` in the names is what was planted. As a program this module tells the same story to the application in its own
process, with the log at its most talkative: `python test_A55_….py DIRECTORY`.
"""

import asyncio
import html
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import apsw
import httpx
import psycopg
import pytest
from aiosmtpd.smtp import AuthResult

from rig import Received, ServerProcess, Sink, sink, wait_for
from threepid.clock import Clock
from threepid.storage import outbox
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Tx
from threepid.storage.engine.migrate import migrate
from threepid.telemetry import configure_logging
from world import Mail, World

CLIENT = "/_matrix/client/v3"
IDENTITY = "/_matrix/identity/v2"


class Ask(Protocol):
    """Sends a request."""

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response: ...


def recipients(letter: Received | Mail) -> list[str]:
    return letter.recipients if isinstance(letter, Received) else [letter.recipient]


class Story:
    """People who use a server, and what of it was secret."""

    def __init__(
        self, ask: Ask, letters: Callable[[], Sequence[Received | Mail]], registration_token: str | None
    ) -> None:
        self._ask = ask
        self._letters = letters
        self._registration_token = registration_token
        self.canaries: dict[str, str] = {}
        self.addresses: list[str] = []
        self.answers: list[tuple[str, str]] = []
        self._planted: dict[str, int] = {}

    # -- what is planted

    def plant(self, name: str) -> str:
        """A new secret, which no answer may hold."""
        value = f"cAnary-{name.replace(' ', '-')}-{secrets.token_hex(8)}"
        return self.issued(name, value, at=0)

    def issued(self, name: str, value: str, *, at: int | None = None) -> str:
        """A secret that the last answer held rightly, and no later one may."""
        assert value not in self.canaries.values()
        self.canaries[name] = value
        self._planted[name] = len(self.answers) if at is None else at
        return value

    def address(self, name: str) -> str:
        """A new email address, which may be in the database and in answers, but not in a log."""
        self.addresses.append(f"canary.{name}.{secrets.token_hex(4)}@example.com")
        return self.addresses[-1]

    def leaked_in_answers(self) -> list[str]:
        """The secrets that came back where nobody asked for them."""
        return [
            f"{name} in {where}"
            for name, value in self.canaries.items()
            for where, text in self.answers[self._planted[name] :]
            if value in text
        ]

    # -- requests

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None, **more: Any) -> httpx.Response:
        if token is not None:
            more["headers"] = {**more.get("headers", {}), "Authorization": f"Bearer {token}"}
        if body is not None:
            more["json"] = body
        answer = self._ask(method, path, **more)
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        # A page holds its own address, to which the switch of the language leads back.
        own = f'name="next" value="{html.escape(path)}"'
        text = (
            answer.text.replace(own, "", 1) if answer.headers["Content-Type"].startswith("text/html") else answer.text
        )
        self.answers.append((f"the answer {len(self.answers)} to {method} {path.partition('?')[0]}", f"{head}\n{text}"))
        return answer

    def right(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        answer = self.ask(method, path, body, **more)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def wrong(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        answer = self.ask(method, path, body, **more)
        assert 400 <= answer.status_code < 500, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def letter(self, name: str, recipient: str) -> tuple[str, str]:
        """The code and the token of the link that came to an address."""

        def new_to_it() -> list[tuple[str, str]]:
            found = [
                (letter.code, link[1])
                for letter in self._letters()
                if recipient in recipients(letter) and (link := re.search(r"/confirm/(\S+)", letter.text))
            ]
            return [secrets for secrets in found if not set(secrets) & set(self.canaries.values())]

        [(code, link)] = wait_for(new_to_it, what=f"a mail about {name}")
        return self.issued(f"{name} code", code), self.issued(f"{name} link", link)

    # -- the story

    def tell(self) -> None:
        self.register()
        self.log_in()
        self.misplace()
        self.add_an_address()
        self.reset()
        self.publish()
        self.refresh()
        self.begin_and_leave()

    def register(self) -> None:
        self.password = self.plant("password")
        body = {"username": "alice", "password": self.password, "refresh_token": True}
        auth: dict[str, Any] = {"type": "m.login.dummy"}
        if self._registration_token is not None:
            session = self.wrong("POST", f"{CLIENT}/register", body)["session"]
            wrong = self.plant("wrong registration token")
            stage = {"type": "m.login.registration_token", "session": session}
            self.wrong("POST", f"{CLIENT}/register", {**body, "auth": {**stage, "token": wrong}})
            self.ask("GET", f"/_matrix/client/v1/register/m.login.registration_token/validity?token={wrong}")
            right = self.issued("registration token", self._registration_token, at=0)
            self.wrong("POST", f"{CLIENT}/register", {**body, "auth": {**stage, "token": right}})
            self.issued("registration session", session)
            auth = {**auth, "session": session}
        answer = self.right("POST", f"{CLIENT}/register", {**body, "auth": auth})
        self.token = self.issued("first access token", answer["access_token"])
        self.refresh_token = self.issued("first refresh token", answer["refresh_token"])
        self.user_id = answer["user_id"]

    def log_in(self) -> None:
        body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}}
        self.wrong("POST", f"{CLIENT}/login", {**body, "password": self.plant("wrong password")})
        answer = self.right("POST", f"{CLIENT}/login", {**body, "password": self.password})
        self.issued("second access token", answer["access_token"])
        token = self.right(
            "POST", f"{CLIENT}/login/get_token".replace("v3", "v1"), {"auth": self.proof()}, token=self.token
        )
        login = self.issued("login token", token["login_token"])
        answer = self.right("POST", f"{CLIENT}/login", {"type": "m.login.token", "token": login})
        self.issued("third access token", answer["access_token"])
        self.wrong("POST", f"{CLIENT}/login", {"type": "m.login.token", "token": login})
        self.wrong("POST", f"{CLIENT}/login", {"type": "m.login.token", "token": self.plant("wrong login token")})

    def misplace(self) -> None:
        """Secrets where they do not belong."""
        login = f"{CLIENT}/login"
        for name, misplaced in {
            "password as user": {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": "?"},
                "password": "x",
            },
            "password as type": {"type": "?", "password": "x"},
            "password as identifier": {"type": "m.login.password", "identifier": "?", "password": "x"},
            "password as address": {"type": "m.login.password", "medium": "email", "address": "?", "password": "x"},
            "password as number": {"type": "m.login.password", "password": ["?"], "user": "alice"},
            "password as name": {"?": "password"},
        }.items():
            text = json.dumps(misplaced).replace("?", self.plant(name))
            self.wrong("POST", login, content=text)
        for name, spoilt in {
            "password in half of a JSON": '{"type": "m.login.password", "password": "?"',
            "password in JSON with a NUL": '{"password": "?\\u0000"}',
            "password twice": '{"password": "?", "password": "?"}',
            "password in no JSON": "password=?",
            "password behind a NUL": "\0?",
            "password in a list": '["?"]',
            "password in deep JSON": "[" * 40 + '"?"' + "]" * 40,
        }.items():
            self.wrong("POST", login, content=spoilt.replace("?", self.plant(name)))
        self.wrong("POST", f"{login}?password={self.plant('password in a query')}", {})
        self.wrong("GET", f"{CLIENT}/{self.plant('password in a path')}")
        self.ask("GET", f"/{self.plant('password in the path of a page')}")
        whoami = "account/whoami"
        self.right("GET", f"/_matrix/client/r0/{whoami}?access_token={self.token}")
        self.wrong("GET", f"{CLIENT}/{whoami}?access_token={self.token}")
        self.wrong("GET", f"/_matrix/client/r0/{whoami}?access_token={self.plant('wrong token in a query')}")
        self.wrong("GET", f"{CLIENT}/{whoami}/{self.token}")
        self.wrong("GET", f"{CLIENT}/{whoami}", token=self.plant("wrong access token"))
        self.wrong("GET", f"{CLIENT}/{whoami}", headers={"Authorization": f"Basic {self.plant('basic')}"})
        self.wrong("GET", f"{CLIENT}/{whoami}", headers={"Cookie": f"token={self.plant('cookie')}"})
        self.wrong("POST", login, {}, headers={"Content-Type": f"a/b; c={self.plant('content type')}"})

    def add_an_address(self) -> None:
        address, secret = self.address("add"), self.plant("client secret of add")
        body = {"client_secret": secret, "email": address, "send_attempt": 1}
        sid = self.right("POST", f"{CLIENT}/account/3pid/email/requestToken", body, token=self.token)["sid"]
        code, link = self.letter("add", address)
        wrong = {"sid": sid, "client_secret": self.plant("wrong client secret"), "token": code}
        self.ask("POST", "/_threepid/client/v1/submit_token", wrong)
        page = self.ask("GET", f"/confirm/{link}")
        assert page.status_code == 200
        self.canaries["add link"] = link
        self._planted["add link"] = len(self.answers)  # the page holds its own address
        self.ask("POST", "/_threepid/client/v1/submit_token", {"sid": sid, "client_secret": secret, "token": code})
        self.right(
            "POST",
            f"{CLIENT}/account/3pid/add",
            {"sid": sid, "client_secret": secret, "auth": self.proof()},
            token=self.token,
        )
        self.ask("GET", f"/confirm/{self.plant('wrong link')}")
        assert address in self.ask("GET", f"{CLIENT}/account/3pid", token=self.token).text
        self.contact = address

    def reset(self) -> None:
        secret = self.plant("client secret of reset")
        body = {"client_secret": secret, "email": self.contact, "send_attempt": 1}
        before = len(self._letters())
        sid = self.right("POST", f"{CLIENT}/account/password/email/requestToken", body)["sid"]
        wait_for(lambda: len(self._letters()) > before, what="a mail")
        code, _ = self.letter("reset", self.contact)
        self.ask("POST", "/_threepid/client/v1/submit_token", {"sid": sid, "client_secret": secret, "token": code})
        creds = {"sid": sid, "client_secret": secret}
        self.password = self.plant("new password")
        self.right(
            "POST",
            f"{CLIENT}/account/password",
            {
                "new_password": self.password,
                "logout_devices": False,
                "auth": {"type": "m.login.email.identity", "threepid_creds": creds},
            },
        )

    def publish(self) -> None:
        openid = self.right("POST", f"{CLIENT}/user/{self.user_id}/openid/request_token", {}, token=self.token)
        self.issued("OpenID token", openid["access_token"])
        wrong = {**openid, "access_token": self.plant("wrong OpenID token")}
        self.wrong("POST", f"{IDENTITY}/account/register", wrong)
        identity = self.right("POST", f"{IDENTITY}/account/register", openid)["token"]
        self.issued("identity token", identity)
        self.wrong("GET", f"{IDENTITY}/account?access_token={identity}")
        self.wrong("GET", f"{IDENTITY}/account", token=self.plant("wrong identity token"))
        address, secret = self.address("identity"), self.plant("client secret of publishing")
        body = {"client_secret": secret, "email": address, "send_attempt": 1}
        sid = self.right("POST", f"{IDENTITY}/validate/email/requestToken", body, token=identity)["sid"]
        code, _ = self.letter("publishing", address)
        creds = {"sid": sid, "client_secret": secret}
        self.right("POST", f"{IDENTITY}/validate/email/submitToken", {**creds, "token": code}, token=identity)
        self.right("POST", f"{IDENTITY}/3pid/bind", {**creds, "mxid": self.user_id}, token=identity)

    def refresh(self) -> None:
        answer = self.right("POST", f"{CLIENT}/refresh", {"refresh_token": self.refresh_token})
        self.token = self.issued("refreshed access token", answer["access_token"])
        self.issued("second refresh token", answer["refresh_token"])
        self.wrong("POST", f"{CLIENT}/refresh", {"refresh_token": self.plant("wrong refresh token")})
        self.right("GET", f"{CLIENT}/account/whoami", token=self.token)

    def begin_and_leave(self) -> None:
        """An authentication that is never finished: the server remembers its request."""
        body = {"new_password": self.plant("password that is never set"), "logout_devices": False}
        session = self.wrong("POST", f"{CLIENT}/account/password", body, token=self.token)["session"]
        self.issued("session that is never finished", session)

    def proof(self) -> dict[str, Any]:
        identifier = {"type": "m.id.user", "user": "alice"}
        return {"type": "m.login.password", "identifier": identifier, "password": self.password}


def found_in(text: bytes, canaries: dict[str, str]) -> list[str]:
    """The names of the secrets in it; a code counts only if it is a number of its own."""
    hits = []
    for name, value in canaries.items():
        pattern = re.escape(value.encode())
        if value.isdecimal():
            pattern = rb"(?<![0-9])" + pattern + rb"(?![0-9])"
        if re.search(pattern, text):
            hits.append(name)
    return hits


def untimed(log: bytes) -> bytes:
    """The log without its times, which are full of digits."""
    return re.sub(rb'"timestamp": "[^"]*"', b"", log)


@pytest.fixture
def told(tmp_path: Path, engine: str, database_url: str) -> Iterator[tuple[ServerProcess, Story, dict[str, str]]]:
    """A server with a relay that wants a password, and the story that was told to it."""
    (tmp_path / "relay.password").write_text(relay_password := f"cAnary-relay-{secrets.token_hex(8)}")
    (tmp_path / "relay.password").chmod(0o600)

    def accept(*_: object) -> AuthResult:
        return AuthResult(success=True)

    with sink(authenticator=accept, auth_require_tls=False) as (relay, port):
        server = ServerProcess(
            tmp_path / "server",
            tables="" if engine == "sqlite" else f'[database]\nurl = "{database_url}"\n',
            via=f'{{ transport = "smtp", host = "localhost", port = {port}, tls = "plain", username = "canary", '
            f'password_file = "{tmp_path / "relay.password"}" }}',
        )
        server.config.write_text(server.config.read_text().replace('registration = "open"', 'registration = "token"'))
        server.start()
        try:
            story = tell_to(server, relay)
            yield server, story, {**story.canaries, "password of the relay": relay_password}
        finally:
            if server.process is not None and server.process.poll() is None:
                server.stop()


def tell_to(server: ServerProcess, relay: Sink) -> Story:
    made = subprocess.run(
        [sys.executable, "-m", "threepid", "registration-token", "create", "--config", str(server.config)],
        capture_output=True,
        text=True,
        check=True,
    )
    with server.client() as http:

        def ask(method: str, path: str, **more: Any) -> httpx.Response:
            return http.request(method, path, **more)

        story = Story(ask, lambda: relay.mails, made.stdout.split()[0])
        story.tell()
        # A relay that refuses, and repeats what it was told.
        address = story.address("refused")
        relay.replies["RCPT"] = f"550 5.1.1 <{address}>: no such mailbox"
        body = {"client_secret": story.plant("secret of the refused"), "email": address, "send_attempt": 1}
        story.right("POST", f"{CLIENT}/account/3pid/email/requestToken", body, token=story.token)
        wait_for(lambda: b"message_failed" in (server.directory / "log").read_bytes(), what="the refusal")
    return story


def dump(url: str) -> bytes:
    """All rows of all tables as text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        found = b""
        for (table,) in tables:
            with connection.cursor().copy(f'COPY "{table}" TO STDOUT') as rows:
                found += b"".join(bytes(row) for row in rows)
    return found


def test_no_secret_is_found_anywhere(
    told: tuple[ServerProcess, Story, dict[str, str]], engine: str, database_url: str
) -> None:
    server, story, canaries = told
    assert len(canaries) >= 40
    assert story.leaked_in_answers() == []

    metrics = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").content
    assert found_in(metrics, canaries) == []
    assert b"@" not in metrics

    data = server.directory / "data"
    if engine == "sqlite":
        # Codes and links are in the database until their mail is out, and in its log until that is overwritten.
        running = b"".join(file.read_bytes() for file in data.glob("*.db*"))
        lasting = {name: value for name, value in canaries.items() if not name.endswith((" code", " link"))}
        assert found_in(running, lasting) == []
    assert server.stop() == 0
    if engine == "sqlite":
        stored = b"".join(
            file.read_bytes() for file in data.rglob("*") if file.is_file() and file.parent.name != "keys"
        )
        with_mails = apsw.Connection(str(data / "threepid.db"), flags=apsw.SQLITE_OPEN_READONLY)
        assert with_mails.execute("SELECT COUNT(*) FROM outbox WHERE params <> ''").get == 0
        with_mails.close()
    else:
        stored = dump(database_url)
    assert b"alice" in stored
    assert found_in(stored, canaries) == []
    for key in (data / "keys").iterdir():
        text = key.read_bytes().strip()
        assert text not in stored
        assert text.split()[-1] not in stored

    log = untimed((server.directory / "log").read_bytes())
    assert b"message_sent" in log
    assert b"c***@example.com" in log
    assert found_in(log, canaries) == []
    assert [address for address in story.addresses if address.encode() in log] == []


def test_what_was_forgotten_does_not_lie_about_in_the_file(tmp_path: Path, sqlite_template: Path) -> None:
    """SQLite leaves what is deleted where it was until something else needs the room, unless it is told not to."""
    path = tmp_path / "threepid.db"
    path.write_bytes(sqlite_template.read_bytes())

    async def deliver_and_forget() -> None:
        database = open_database(f"sqlite:{path}", pool_size=1, password=None)
        for number in range(40):

            def order(tx: Tx, number: int = number) -> None:
                outbox.insert(
                    tx, job_id=f"o{number}", channel="email", recipient=f"recipient{number}@example.com", language="en",
                    template="reset_password", params=f"code {number} " + "x" * 300, created_at=number, due_at=number,
                    expires_at=number + 1,
                )  # fmt: skip

            await database.write(order)
            await database.write(lambda tx, number=number: outbox.sent(tx, f"o{number}", number))  # type: ignore[misc]
        assert await database.write(lambda tx: outbox.delete_done(tx, 29, at_most=99)) == 30
        await database.close()

    asyncio.run(deliver_and_forget())
    stored = path.read_bytes()
    assert re.search(rb"code \d", stored) is None
    assert {int(number) for number in re.findall(rb"recipient(\d+)@", stored)} == set(range(30, 40))


def test_nor_in_the_most_talkative_log(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, check=False, timeout=120,
        cwd=Path(__file__).parent.parent, env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr.decode()[-3000:]
    story = json.loads(ran.stdout)
    log = untimed(ran.stderr)
    assert b'"level": "debug"' in log
    assert b"request_crashed" in log
    assert found_in(log, story["canaries"]) == []
    assert [address for address in story["addresses"] if address.encode() in log] == []
    assert story["leaked"] == []


def tell_in_this_process(directory: Path) -> None:
    """Tell the story with a log of everything, and let something crash at the end."""
    configure_logging(level="debug", json=True)
    database = directory / "threepid.db"
    migrate(f"sqlite:{database}", password=None, clock=Clock())
    with World(f"sqlite:{database}", directory) as world:

        def ask(method: str, path: str, **more: Any) -> httpx.Response:
            return world.run(world.http.request(method, path, **more))

        story = Story(ask, world.mails, None)
        story.tell()

        async def crash() -> None:
            raise RuntimeError(
                f"client_secret={story.plant('secret in a crash')}&access_token={story.token} {story.address('crash')}"
            )

        world.database.before_reads = crash
        assert story.ask("GET", f"{CLIENT}/account/whoami", token=story.token).status_code == 500
    found = {"canaries": story.canaries, "addresses": story.addresses, "leaked": story.leaked_in_answers()}
    print(json.dumps(found))


if __name__ == "__main__":
    tell_in_this_process(Path(sys.argv[1]))
