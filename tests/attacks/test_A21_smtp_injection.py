"""A21: what a real SMTP server receives: one recipient, the expected headers once each, one body, whatever is in the fields."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from mail_relay import PostOffice, Received
from threepid.config import Email, SmtpTransport
from threepid.delivery.jobs.messages import mails
from threepid.delivery.mail.email import Mailer
from threepid.delivery.worker import Worker
from threepid.domain.messages import EXAMPLES, Message
from threepid.storage import outbox

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
]
LINE_ENDS = ["\r\n", "\r", "\n", "\n\r", "\x00", "\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\r\n\r\n"]
NASTY = {
    **{f"header after {end!r}": f"x{end}Bcc: eve@evil.example{end}X-Evil: yes{end}" for end in LINE_ENDS},
    "end of the mail": "x\r\n.\r\nRSET\r\nMAIL FROM:<eve@evil.example>\r\nRCPT TO:<eve@evil.example>\r\nDATA\r\nevil",
    "bare ends of the mail": "x\n.\nRSET\r.\rQUIT\n.\r\n",
    "a line with a dot": ".",
    "a boundary": "\r\n--=_order0--\r\n--=_order0\r\nContent-Type: text/html\r\n\r\n<b>evil</b>",
    "an encoded word": "=?utf-8?q?x=0D=0ABcc=3A_eve=40evil=2Eexample?=",
    "encoded words that join": "=?utf-8?b?DQpCY2M6?= =?utf-8?b?IGV2ZUBldmlsLmV4YW1wbGU=?=",
    "an encoded word in two": "=\r\n?utf-8?q?=0D=0ABcc=3A_eve=40evil=2Eexample?=",
    "one long word": "w" * 3000,
    "one long word outside ASCII": "ß" * 3000,
    "many words": "word " * 400,
    "marks of direction": "\u202eevil\u2066 \ufeff",
}


@dataclass
class Sink:
    """Keeps what an aiosmtpd server understood."""

    envelopes: list[Envelope] = field(default_factory=list)
    connections: int = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return "250 OK"

    def connect(self) -> SMTP:
        self.connections += 1
        return SMTP(self, hostname="sink.test", loop=asyncio.get_running_loop())


async def send(database_url: str, *orders: dict[str, Any], sender: str = "Example <noreply@example.org>") -> Sink:
    """Send messages through the outbox to a real SMTP server; at the end none waits any more."""
    sink = Sink()
    server = await asyncio.get_running_loop().create_server(sink.connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with PostOffice(database_url) as office:
        via = SmtpTransport(host="127.0.0.1", port=port, tls="plain", timeout=5.0)
        mailer = Mailer(Email(sender=sender, via=(via,)), office.database)
        worker = Worker(office.database, office.clock, [mails(mailer, office.renderer, office.clock)])
        for order in orders:
            await office.order(**order)
        assert await worker.run_once() == len(orders)
        assert await office.database.read(outbox.depth) == 0
    server.close()
    await server.wait_closed()
    return sink


def check(envelope: Envelope) -> None:
    assert envelope.mail_from == "noreply@example.org"
    assert envelope.rcpt_tos == ["bob@example.com"]
    assert isinstance(envelope.original_content, bytes)
    raw = envelope.original_content
    assert raw.isascii()
    assert raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    message = Received("", [], raw).message
    assert sorted(message.keys()) == sorted(HEADERS)
    assert message["To"] == "bob@example.com"
    assert str(message["Subject"]).isprintable()
    kinds = [part.get_content_type() for part in message.walk()]
    assert kinds == ["multipart/alternative", "text/plain", "text/html"]
    assert not message.defects


def fields(message: Message) -> list[str]:
    return [name for name, value in msgspec.to_builtins(message).items() if isinstance(value, str)]


@pytest.mark.parametrize("nasty", NASTY)
def test_no_field_of_any_message_becomes_a_header_a_recipient_or_a_body(database_url: str, nasty: str) -> None:
    orders = []
    for example in EXAMPLES:
        changes = dict.fromkeys(fields(example), NASTY[nasty])
        params = msgspec.json.encode(msgspec.to_builtins(example) | changes).decode()
        orders.append({"template": example.template, "params": params})
    sink = asyncio.run(send(database_url, *orders))
    assert len(sink.envelopes) == len(EXAMPLES)
    for envelope in sink.envelopes:
        check(envelope)


@pytest.mark.parametrize("name", ["=?utf-8?q?x=0D=0ABcc=3A_eve=40evil=2Eexample?=", "Übung, GmbH"])
def test_the_name_of_the_sender_stays_in_its_header(database_url: str, name: str) -> None:
    (envelope,) = asyncio.run(send(database_url, {}, sender=f"{name} <noreply@example.org>")).envelopes
    check(envelope)


@pytest.mark.parametrize(
    "recipient",
    [
        "bob@example.com\r\nBcc: eve@evil.example",
        "bob@example.com>\r\nRCPT TO:<eve@evil.example",
        "bob@example.com> SIZE=1",
        "bob@example.com, eve@evil.example",
        "bob@example.com;eve@evil.example",
        "bob@example.com eve@evil.example",
        "eve@evil.example <bob@example.com>",
        '"bob@example.com\r\n"@evil.example',
        '"bob"@example.com',
        "(eve@evil.example)bob@example.com",
        "bob@example.com\n",
        "@evil.example:bob@example.com",
        "bob%evil.example@",
        "=?utf-8?q?eve=40evil=2Eexample=2C?=@example.com",
        "bob@[127.0.0.1]",
        "bob@example.com\u2028eve@evil.example",
        "eve\uff20evil.example",
    ],
)
def test_a_recipient_that_is_no_plain_address_is_told_to_no_relay(database_url: str, recipient: str) -> None:
    assert asyncio.run(send(database_url, {"recipient": recipient})).connections == 0
