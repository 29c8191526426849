"""The test world: the real application with a hand on the clock, seeded chance, and its mails in a list."""

import asyncio
import email
import email.policy
import hashlib
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import httpx
import msgspec
from unpaddedbase64 import encode_base64

from databases import Around
from threepid import config
from threepid.app import Server
from threepid.clock import Clock, Entropy
from threepid.config import Config, MailboxTransport
from threepid.delivery.job import JobType
from threepid.delivery.render import Renderer
from threepid.domain.secrets.passwords import Hasher
from threepid.domain.services import Homeserver, IdentityServer
from threepid.remote.patience import PATIENCE, Patience
from threepid.startup import load_secrets
from threepid.storage import mailbox
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Database
from threepid.storage.outbox import ClaimedJob

T = TypeVar("T")
BASE = "https://matrix.example.org"
PASSWORD = "correct horse battery"


def unnoted(*_: object) -> None:
    """Write nothing into the audit log about a change that no operator makes."""


class HandClock(Clock):
    """A clock that moves when the test says so."""

    def __init__(self, now: int = 1_800_000_000_000) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def advance(self, milliseconds: int) -> None:
        self._now += milliseconds


class SeededEntropy(Entropy):
    """Chance that repeats itself: the same test sees the same values."""

    def __init__(self, seed: str = "test") -> None:
        self._state = hashlib.sha256(seed.encode())
        self._count = 0
        self._made = 0

    def bytes(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            self._count += 1
            block = self._state.copy()
            block.update(self._count.to_bytes(8, "big"))
            found += block.digest()
        return found[:count]

    def id(self, now: int) -> str:
        """IDs of the same time have the order in which they were made, so that the newest mail is the one sent last."""
        self._made += 1
        known = super().id(now)
        return f"{known[:8]}{self._made:08}{known[-8:]}"


def settings(data_dir: Path, **changes: Any) -> Config:
    """A configuration with both roles; `changes` are members by dotted name with `__`: `identity__v1__validate=True`.

    `sms__countries=["GB"]` adds phone numbers: then flows differ.
    """
    tree: dict[str, Any] = {
        "server": {"name": "example.org", "public_base_url": BASE, "data_dir": str(data_dir)},
        "accounts": {"registration": "open"},
        "identity": {},
        "email": {"from": "Example <noreply@example.org>", "via": [{"transport": "mailbox"}]},
        "limits": {"all": "off"},
    }
    for name, value in changes.items():
        place = tree
        *path, last = name.split("__")
        for part in path:
            place = place.setdefault(part, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    if "sms" in tree:
        tree["sms"].setdefault("via", [{"transport": "console"}])
    return msgspec.convert(tree, Config)


class WatchedHasher(Hasher):
    """The real one, at the lowest cost there is or at the `real` one, which counts; tests may say `instead` what is right."""

    def __init__(self, *, real: bool = False) -> None:
        super().__init__(**({} if real else {"passes": 1, "memory_kib": 8}))
        self.compared = 0
        """Passwords that were compared with a hash, or with nobody's."""
        self.instead: Callable[[str, str], bool] | None = None

    def matches(self, password: str, password_hash: str) -> bool:
        self.compared += 1
        return (
            super().matches(password, password_hash) if self.instead is None else self.instead(password, password_hash)
        )


class World:
    """One server process on one database."""

    def __init__(
        self,
        database_url: str,
        directory: Path,
        *,
        clock: HandClock | None = None,
        seed: str = "test",
        hasher: WatchedHasher | None = None,
        job_types: tuple[JobType, ...] | None = None,
        introspection_secret: str = "",
        patience: Patience = PATIENCE,
        database: Database | None = None,
        **changes: Any,
    ) -> None:
        """`hasher` in place of the cheap one, `job_types` in place of the one that keeps SMS in a list.

        `introspection_secret` is what a homeserver beside this server knows. `patience` is how long it waits for others.
        `database` is one of its URL that a test has opened in its own way.
        """
        self.database_url = database_url
        self.directory = directory
        self.config = settings(directory, **changes)
        self.clock = clock or HandClock()
        self.entropy = SeededEntropy(seed)
        self._changes = changes
        self._introspection_secret = introspection_secret
        self._patience = patience
        self._database = database
        self.hasher = hasher or WatchedHasher()
        self._job_types = (JobType("sms", self._keep_text),) if job_types is None else job_types
        self._renderer = Renderer()
        self._texts: list[Text] = []
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Self:
        self.server = self.run(self._open())
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=cast(Any, self.server.asgi)), base_url=BASE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self.http.aclose())
        self.run(self.server.stop())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _open(self) -> Server:
        server = Server(
            self.config,
            clock=self.clock,
            entropy=self.entropy,
            database=Around(self._database or open_database(self.database_url, pool_size=8, password=None)),
            secrets=load_secrets(self.config, SeededEntropy("keys")),
            background=False,
            strict=True,
            hasher=self.hasher,
            introspection_secret=self._introspection_secret,
            patience=self._patience,
            job_types=self._job_types if self.config.sms is not None else (),
        )
        await server.start()
        return server

    @property
    def database(self) -> Around:
        """What the server works with."""
        assert isinstance(self.server.context.database, Around)
        return self.server.context.database

    @property
    def homeserver(self) -> Homeserver:
        """The account side; this world must have one."""
        assert self.server.services.homeserver is not None
        return self.server.services.homeserver

    @property
    def identity(self) -> IdentityServer:
        """The identity server; this world must have one."""
        assert self.server.services.identity is not None
        return self.server.services.identity

    async def _keep_text(self, order: ClaimedJob) -> None:
        text = self._renderer.text(order, self.clock.now() - order.created_at)
        self._texts.append(Text(order.recipient, text))

    def again(self, **changes: Any) -> "World":
        """Another process of the same server: the same database, keys and clock."""
        return World(self.database_url, self.directory, clock=self.clock, seed="again", **{**self._changes, **changes})

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def together(self, *work: Callable[[], Awaitable[T]]) -> list[T]:
        """All at the same time; their results in order."""

        async def gather() -> list[T]:
            return list(await asyncio.gather(*(one() for one in work)))

        return self.run(gather())

    # -- HTTP

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **more: Any
    ) -> httpx.Response:
        return self.run(self.acall(method, path, body, token=token, **more))

    async def acall(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **more: Any
    ) -> httpx.Response:
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if isinstance(body, bytes | str):
            more["content"] = body
        elif body is not None:
            more["json"] = body
        return await self.http.request(method, path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.call("POST", path, {} if body is None else body, **more)

    # -- people

    def register(self, username: str = "alice", password: str = PASSWORD) -> str:
        """A new account; returns its access token."""
        answer = self.post(
            "/_matrix/client/v3/register",
            {"username": username, "password": password, "auth": {"type": "m.login.dummy"}},
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def identity_token(self, token: str, username: str = "alice") -> str:
        """An access token of the identity server for the account whose access token is given."""
        openid = self.post(f"/_matrix/client/v3/user/@{username}:example.org/openid/request_token", token=token)
        assert openid.status_code == 200, openid.text
        answer = self.post("/_matrix/identity/v2/account/register", openid.json())
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def request_token(
        self, identity_token: str, address: str = "alice@example.com", *, secret: str = "secret", attempt: int = 1
    ) -> str:
        """A validation session of the identity server; returns its sid."""
        answer = self.post(
            "/_matrix/identity/v2/validate/email/requestToken",
            {"client_secret": secret, "email": address, "send_attempt": attempt},
            token=identity_token,
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["sid"])

    def validated(self, identity_token: str, address: str = "alice@example.com", *, secret: str = "secret") -> str:
        """A validated session of the identity server; returns its sid."""
        sid = self.request_token(identity_token, address, secret=secret)
        answer = self.post(
            "/_matrix/identity/v2/validate/email/submitToken",
            {"sid": sid, "client_secret": secret, "token": self.mail_with_code().code},
            token=identity_token,
        )
        assert answer.json() == {"success": True}, answer.text
        return sid

    def add(self, token: str, sid: str, *, secret: str = "secret", bind: bool = False) -> httpx.Response:
        """POST /account/3pid."""
        return self.post(
            "/_matrix/client/v3/account/3pid",
            {
                "three_pid_creds": {"sid": sid, "client_secret": secret, "id_server": "matrix.example.org"},
                "bind": bind,
            },
            token=token,
        )

    def look_up(self, identity_token: str, address: str, medium: str = "email") -> str | None:
        """The user ID to which an address is bound, as a client finds it."""
        details = self.get("/_matrix/identity/v2/hash_details", token=identity_token).json()
        hashed = encode_base64(
            hashlib.sha256(f"{address} {medium} {details['lookup_pepper']}".encode()).digest(), urlsafe=True
        )
        body = {"addresses": [hashed], "algorithm": "sha256", "pepper": details["lookup_pepper"]}
        answer = self.post("/_matrix/identity/v2/lookup", body, token=identity_token)
        assert answer.status_code == 200, answer.text
        found: dict[str, str] = answer.json()["mappings"]
        return found.get(hashed)

    def contacts(self, token: str) -> list[str]:
        """The addresses of the account."""
        answer = self.get("/_matrix/client/v3/account/3pid", token=token)
        assert answer.status_code == 200, answer.text
        return [threepid["address"] for threepid in answer.json()["threepids"]]

    # -- mails

    def mails(self) -> "list[Mail]":
        """All mails so far, oldest first."""
        self.run(self.server.worker.run_once())
        found = self.run(self.server.context.database.read(lambda tx: mailbox.newest(tx, 1000)))
        return [Mail(mail) for mail in sorted(found, key=lambda mail: (mail.received_at, mail.id))]

    def mail(self) -> "Mail":
        """The newest mail."""
        return self.mails()[-1]

    def mail_with_code(self) -> "Mail":
        """The newest mail with a code: a notice that waited may have left after it."""
        return next(mail for mail in reversed(self.mails()) if mail.has_code)

    # -- texts to phones

    def texts(self) -> "list[Text]":
        """All texts that this process delivered, oldest first."""
        self.run(self.server.worker.run_once())
        return list(self._texts)

    def text(self) -> "Text":
        """The newest text."""
        return self.texts()[-1]

    def text_with_code(self) -> "Text":
        """The newest text with a code: a notice may have left after it."""
        return next(text for text in reversed(self.texts()) if "is your code" in text.text)


class Text(msgspec.Struct, frozen=True):
    """A text as it would have reached a phone."""

    recipient: str
    text: str

    @property
    def code(self) -> str:
        found = re.search(r": (\d{6}) is your code", self.text)
        assert found, self.text
        return found[1]


_MAILED_CODE = re.compile(r"^ {4}(\d{6})\r?$", re.MULTILINE)


class Mail:
    """A mail as it would have gone out."""

    def __init__(self, mail: mailbox.Mail) -> None:
        self.recipient = mail.recipient
        self.raw = mail.message

    @cached_property
    def message(self) -> EmailMessage:
        message = email.message_from_bytes(self.raw, policy=email.policy.SMTP)
        assert isinstance(message, EmailMessage)
        return message

    @cached_property
    def text(self) -> str:
        plain = self.message.get_body(("plain",))
        assert isinstance(plain, EmailMessage)
        return str(plain.get_content())

    @property
    def has_code(self) -> bool:
        return _MAILED_CODE.search(self.text) is not None

    @property
    def code(self) -> str:
        found = _MAILED_CODE.search(self.text)
        assert found, self.text
        return found[1]

    @property
    def link(self) -> str:
        found = re.search(rf"{re.escape(BASE)}(/(?:confirm|reset)/\S+)", self.text)
        assert found, self.text
        return found[1]


def normalised(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers without what differs between any two answers."""
    return {name: value for name, value in headers.items() if name not in {"date", "x-request-id"}}


__all__ = [
    "BASE",
    "PASSWORD",
    "HandClock",
    "Mail",
    "MailboxTransport",
    "SeededEntropy",
    "Text",
    "World",
    "config",
    "normalised",
]
