"""A mail relay on loopback that does what a test's script says, and a worker with a hand on the clock."""

import asyncio
import email
import email.policy
import functools
import itertools
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec
import trustme
from msgspec import Struct

from threepid.clock import HOUR
from threepid.config import Email, EmailTransport, SmtpTransport
from threepid.delivery.job import JobType
from threepid.delivery.jobs.messages import mails
from threepid.delivery.mail.email import Mailer
from threepid.delivery.presence import Presence
from threepid.delivery.render import Renderer
from threepid.delivery.worker import Worker
from threepid.domain import messages
from threepid.storage import outbox
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Busy, Database, Tx
from threepid.storage.engine.queries import Query
from world import HandClock

T = TypeVar("T")
HANG: Final = "hang"
"""Say nothing any more."""
DROP: Final = "drop"
"""Close the connection."""
TAKEN: Final = "drop after the mail was taken"
"""At `END`: close the connection, but deliver the mail."""
DRIP: Final = "drip"
"""Say something that never ends, one byte after the other."""


class Received(Struct, frozen=True):
    """A mail that a relay took."""

    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.content, policy=email.policy.SMTP)
        assert isinstance(parsed, EmailMessage)
        return parsed


class Relay:
    """Speaks SMTP; `script` replaces answers by verb (`GREETING`, `EHLO`, …, `DATA`, `END` for the mail's last dot)."""

    def __init__(
        self,
        script: Mapping[str, str] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
        offers: tuple[str, ...] = (),
        accept: Callable[[bytes], Awaitable[None]] | None = None,
        port: int = 0,
    ) -> None:
        self.script = dict(script or {})
        self.received: list[Received] = []
        self.verbs: list[str] = []
        self.lines: list[bytes] = []
        self.talked = 0
        """How many connections there were so far."""
        self._tls = tls
        self._starttls = starttls
        self._offers = offers
        self._accept = accept
        self._talks: set[asyncio.Task[Any]] = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, sock=self._listener, ssl=self._tls)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._server.wait_closed()

    def transport(self, **changes: Any) -> SmtpTransport:
        """What reaches this relay, in the clear unless `changes` say otherwise."""
        settings: dict[str, Any] = {"host": "localhost", "port": self.port, "tls": "plain", "timeout": 5.0}
        return SmtpTransport(**{**settings, **changes})

    def hang_up(self) -> None:
        """Close all connections."""
        for talk in self._talks:
            talk.cancel()

    def talks(self) -> int:
        """How many connections are open."""
        return len(self._talks)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        self.talked += 1
        try:
            await self._serve(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            self._talks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = ""
        recipients: list[str] = []
        encrypted = self._tls is not None
        await self._say(writer, "GREETING", "220 relay.test ESMTP")
        while received := await reader.readline():
            self.lines.append(received)
            verb, _, rest = received.decode("ascii").strip().partition(" ")
            verb = verb.upper()
            self.verbs.append(verb)
            if verb == "EHLO":
                offers = [*self._offers, *(["STARTTLS"] if self._starttls and not encrypted else [])]
                *first, last = "relay.test", *offers
                await self._say(writer, verb, "".join(f"250-{line}\r\n" for line in first) + f"250 {last}")
            elif verb == "STARTTLS" and self._starttls:
                await self._say(writer, verb, "220 go ahead")
                await writer.start_tls(self._starttls)
                encrypted = True
            elif verb == "AUTH":
                await self._say(writer, verb, "235 welcome")
            elif verb == "MAIL":
                sender, recipients = rest, []
                await self._say(writer, verb, "250 fine")
            elif verb == "RCPT":
                recipients.append(rest)
                await self._say(writer, verb, "250 fine")
            elif verb == "DATA":
                await self._say(writer, verb, "354 go ahead")
                if verb not in self.script:
                    await self._take(reader, writer, sender, recipients)
            elif verb == "QUIT":
                await self._say(writer, verb, "221 bye")
                return
            else:
                await self._say(writer, verb, "250 fine")

    async def _take(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sender: str, recipients: list[str]
    ) -> None:
        content = (await reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
        if self._accept is not None:
            await self._accept(content)
        if self.script.get("END", TAKEN).startswith(TAKEN):
            self.received.append(Received(sender, recipients, content))
        await self._say(writer, "END", "250 taken")

    async def _say(self, writer: asyncio.StreamWriter, verb: str, usual: str) -> None:
        said = self.script.get(verb, usual)
        if said == HANG:
            await asyncio.Event().wait()
        if said.startswith(DROP):
            raise ConnectionResetError
        if said == DRIP:
            for _ in itertools.count():
                writer.write(b"2")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.write(said.encode("ascii") + b"\r\n")
        await writer.drain()


class Authority:
    """A certificate authority of the tests' own."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def server(self, name: str = "localhost", **how: Any) -> ssl.SSLContext:
        """What a server with a certificate for `name` presents."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(name, **how).configure_cert(context)
        return context

    def file(self, directory: Path) -> str:
        """The authority's certificate as a file, for `ca_file`."""
        path = directory / "authority.pem"
        self._authority.cert_pem.write_to_path(str(path))
        return str(path)


@functools.cache
def authority(which: str = "ours") -> Authority:
    """Making one takes a while: there is one of each name."""
    assert which
    return Authority()


class Row(Struct, frozen=True):
    """A row of the outbox."""

    params: str
    due_at: int
    expires_at: int
    attempts: int
    sent_at: int | None
    failed_at: int | None
    last_error: str | None
    worker: str | None
    turn: int | None


_COLUMNS: Final = "params, due_at, expires_at, attempts, sent_at, failed_at, last_error, worker, turn"
_ROW: Final = f"SELECT {_COLUMNS} FROM outbox WHERE id = "
_QUERY: Final = Query("test.row", _ROW + ":id", _ROW + "%(id)s")


class PostOffice:
    """The outbox of a fresh database, and a worker with a hand on the clock that gives mails to `via`."""

    def __init__(
        self, database_url: str, *via: EmailTransport, clock: HandClock | None = None, presence: Presence | None = None
    ) -> None:
        self.clock = clock or HandClock()
        self.database = open_database(database_url, pool_size=4, password=None)
        self.mailer = Mailer(Email(sender="Example <noreply@example.org>", via=via), self.database, self.clock)
        self.renderer = Renderer()
        self.job_types = [mails(self.mailer, self.renderer, self.clock)]
        self.presence = presence
        self.worker = Worker(self.database, self.clock, self.job_types, presence=presence)
        self._count = itertools.count()

    def deliver_by(self, *job_types: JobType) -> None:
        """From now on another worker delivers, which knows `job_types` beside or in place of what it knew."""
        self.job_types += job_types
        self.worker = Worker(self.database, self.clock, self.job_types, presence=self.presence)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.mailer.close()
        await self.database.close()

    async def order(
        self,
        recipient: str = "bob@example.com",
        *,
        channel: str = "email",
        life: int = HOUR,
        template: str = "",
        params: str = "",
        message: messages.Message = messages.EXAMPLES[0],
        caller: str = "",
    ) -> str:
        """Put a message into the outbox, as an earlier version did: not sealed; returns its id."""
        now = self.clock.now()
        order_id = f"order{next(self._count)}"
        await self.database.write(
            lambda tx: outbox.insert(
                tx,
                job_id=order_id,
                channel=channel,
                recipient=recipient,
                language="en",
                template=template or message.template,
                params=params or msgspec.json.encode(message).decode(),
                created_at=now,
                due_at=now,
                expires_at=now + life,
                destination=f"{channel}:{recipient.rpartition('@')[2]}",
                caller=caller,
                urgency=message.urgency,
            )
        )
        return order_id

    async def row(self, order_id: str) -> Row:
        """What the outbox knows of a message."""
        row = await self.database.read(lambda tx: tx.row(_QUERY, Row, id=order_id))
        assert row is not None
        return row


class Background:
    """Runs a worker, and stops it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Worker:
        self._running = asyncio.create_task(self._worker.run(self._stop))
        return self._worker

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        self._worker.wake()
        async with asyncio.timeout(20):
            await self._running


class Flaky(Database):
    """A database that cannot write for a while."""

    def __init__(self, inner: Database) -> None:
        super().__init__()
        self.engine = inner.engine
        self._inner = inner
        self.refusals = 0
        self.refused = 0

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await self._inner.read(fn)

    async def read_aside(self, fn: Callable[[Tx], T]) -> T:
        return await self._inner.read_aside(fn)

    async def write(self, fn: Callable[[Tx], T]) -> T:
        self._refuse()
        return await self._inner.write(fn)

    async def write_aside(self, fn: Callable[[Tx], T]) -> T:
        self._refuse()
        return await self._inner.write_aside(fn)

    def _refuse(self) -> None:
        if self.refusals:
            self.refusals -= 1
            self.refused += 1
            raise Busy("locked")

    async def close(self) -> None:
        await self._inner.close()
