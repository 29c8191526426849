"""Mails: their headers, their parts, and the relay that gets them."""

import asyncio
import email
import email.policy
import email.utils
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mail_relay import PostOffice, Relay
from threepid.config import Email, FileTransport, MailboxTransport
from threepid.delivery.errors import DeliveryError
from threepid.delivery.mail.email import Mailer
from threepid.delivery.render import Rendered
from threepid.storage import mailbox
from threepid.storage.engine.connect import open_database
from threepid.storage.outbox import ClaimedJob

NOW = 1_800_000_000_123
RENDERED = Rendered("Grüße", "Hello\n.\nFrom here\n", "<p>Hello</p>")


def an_order(recipient: str = "bob@example.com") -> ClaimedJob:
    return ClaimedJob("the-id", "email", recipient, "en", "confirm_address", "{}", NOW, NOW + 1, 1)


def raw(
    database_url: str,
    sender: str = "Example <noreply@example.org>",
    order: ClaimedJob | None = None,
    rendered: Rendered = RENDERED,
) -> bytes:
    async def run() -> bytes:
        database = open_database(database_url, pool_size=1, password=None)
        try:
            return Mailer(Email(sender=sender, via=()), database).build(order or an_order(), rendered)
        finally:
            await database.close()

    return asyncio.run(run())


def build(database_url: str, sender: str = "Example <noreply@example.org>", **changes: Any) -> EmailMessage:
    """The same as a program reads it."""
    message = email.message_from_bytes(raw(database_url, sender, **changes), policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


def test_the_headers_say_what_the_mail_is(database_url: str) -> None:
    message = build(database_url)
    assert message["From"] == "Example <noreply@example.org>"
    assert message["To"] == "bob@example.com"
    assert message["Subject"] == "Grüße"
    assert message["Message-ID"] == "<the-id@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert email.utils.parsedate_to_datetime(message["Date"]).timestamp() == NOW // 1000
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_a_long_link_to_unsubscribe_stands_on_one_line_as_it_is(database_url: str) -> None:
    link = "https://matrix.example.org/" + "x" * 200
    content = raw(database_url, rendered=msgspec.structs.replace(RENDERED, stop_link=link))
    wanted = f"\r\nList-Unsubscribe: <{link}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    assert wanted.encode() in content


def test_what_is_no_link_of_https_offers_no_one_click(database_url: str) -> None:
    for link, header in (
        ("http://localhost:8008/x", "<http://localhost:8008/x>"),
        ("", None),
        ("https://x/>\r\nBcc: evil@example.org", None),
        ("https://x/ y", None),
        ("javascript:alert(1)", None),
    ):
        message = build(database_url, rendered=msgspec.structs.replace(RENDERED, stop_link=link))
        assert message["List-Unsubscribe"] == header
        assert message["List-Unsubscribe-Post"] is None
        assert message["Bcc"] is None


def test_a_second_copy_has_the_same_bytes(database_url: str) -> None:
    assert raw(database_url) == raw(database_url)


def test_a_mail_is_seven_bit_with_short_lines_and_network_line_ends(database_url: str) -> None:
    content = raw(database_url)
    assert content.isascii()
    assert content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r")
    assert max(map(len, content.split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    ("sender", "shown", "domain"),
    [
        ("noreply@example.org", "noreply@example.org", "example.org"),
        ("<noreply@example.org>", "noreply@example.org", "example.org"),
        ('"Ex, ample" <noreply@mail.example.org>', '"Ex, ample" <noreply@mail.example.org>', "mail.example.org"),
        ("Übung <noreply@example.org>", "Übung <noreply@example.org>", "example.org"),
    ],
)
def test_the_sender_may_have_a_name(database_url: str, sender: str, shown: str, domain: str) -> None:
    message = build(database_url, sender)
    assert message["From"] == shown
    assert message["Message-ID"] == f"<the-id@{domain}>"


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "bob",
        "bob@",
        "Bob <bob@example.com>",
        "bob@example.com, eve@evil.example",
        "bob@EXAMPLE.com",
        "b@bücher.example",
        "bob@example.com\0",
    ],
)
def test_a_recipient_that_is_not_as_it_is_stored_fails_for_good(database_url: str, recipient: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        build(database_url, order=an_order(recipient))
    assert not caught.value.retry
    assert "bob" not in str(caught.value)


def test_a_folder_gets_one_private_file_for_each_mail(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        folder = tmp_path / "out"
        async with PostOffice(database_url, FileTransport(directory=str(folder))) as office:
            ids = [await office.order() for _ in range(3)]
            assert await office.worker.run_once() == 3
            assert sorted(path.name for path in folder.iterdir()) == sorted(f"{order_id}.eml" for order_id in ids)
            for path in folder.iterdir():
                assert path.stat().st_mode & 0o777 == 0o600
                assert b"Message-ID: <" + path.stem.encode() in path.read_bytes()
            assert folder.stat().st_mode & 0o777 == 0o700

    asyncio.run(run())


def test_a_folder_that_cannot_be_written_means_a_later_mail(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        folder = tmp_path / "out"
        async with PostOffice(database_url, FileTransport(directory=str(folder))) as office:
            folder.rmdir()
            order_id = await office.order()
            await office.worker.run_once()
            assert (await office.row(order_id)).last_error == "file: cannot be written: FileNotFoundError"
            folder.mkdir()
            office.clock.advance(5000)
            await office.worker.run_once()
            assert (await office.row(order_id)).sent_at is not None
            assert (folder / f"{order_id}.eml").is_file()

    asyncio.run(run())


def test_the_development_mailbox_keeps_the_mail_as_it_would_have_gone_out(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url, MailboxTransport()) as office:
            order_id = await office.order()
            await office.worker.run_once()
            mail = await office.database.read(lambda tx: mailbox.get(tx, order_id))
            assert mail is not None
            assert (mail.recipient, mail.received_at) == ("bob@example.com", office.clock.now())
            assert b"To: bob@example.com\r\n" in mail.message

    asyncio.run(run())


def test_the_next_relay_gets_what_the_first_one_cannot_take(database_url: str) -> None:
    async def run() -> None:
        async with (
            Relay({"MAIL": "451 4.3.0 later"}) as first,
            Relay() as second,
            PostOffice(database_url, first.transport(), second.transport()) as office,
        ):
            order_id = await office.order()
            await office.worker.run_once()
            assert (await office.row(order_id)).sent_at is not None
            assert (len(first.received), len(second.received)) == (0, 1)

    asyncio.run(run())


def test_the_first_relay_that_takes_a_mail_is_the_only_one(database_url: str) -> None:
    async def run() -> None:
        async with (
            Relay() as first,
            Relay() as second,
            PostOffice(database_url, first.transport(), second.transport()) as office,
        ):
            await office.order()
            await office.worker.run_once()
            assert (len(first.received), len(second.verbs)) == (1, 0)

    asyncio.run(run())


def test_a_recipient_whom_one_relay_refuses_for_good_is_not_offered_to_the_next(database_url: str) -> None:
    async def run() -> None:
        async with (
            Relay({"RCPT": "550 5.1.1 bob@example.com: no such user"}) as first,
            Relay() as second,
            PostOffice(database_url, first.transport(), second.transport()) as office,
        ):
            order_id = await office.order()
            await office.worker.run_once()
            row = await office.row(order_id)
            assert row.failed_at is not None
            assert row.last_error == f"localhost:{first.port}: the recipient was refused: 550 5.1.1"
            assert second.verbs == []

    asyncio.run(run())


def test_when_all_relays_fail_the_cause_of_each_is_kept(database_url: str) -> None:
    async def run() -> None:
        async with (
            Relay({"GREETING": "554 go away"}) as first,
            Relay({"RCPT": "450 4.2.0 bob@example.com is full"}) as second,
            PostOffice(database_url, first.transport(), second.transport()) as office,
        ):
            order_id = await office.order()
            await office.worker.run_once()
            row = await office.row(order_id)
            assert (row.sent_at, row.failed_at) == (None, None)
            assert row.last_error == (
                f"localhost:{first.port}: SMTPConnectResponseError 554; "
                f"localhost:{second.port}: the recipient was refused: 450 4.2.0"
            )

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ('Die "Anderen" <noreply@example.org>', 'Die "Anderen"'),
        ('"Die Anderen" <noreply@example.org>', "Die Anderen"),
        ('"Die \\"Anderen\\"" <noreply@example.org>', 'Die "Anderen"'),
        ('"A" and "B" <noreply@example.org>', '"A" and "B"'),
        ('"Anderen" GmbH, Köln <noreply@example.org>', '"Anderen" GmbH, Köln'),
        ("Back\\slash <noreply@example.org>", "Back\\slash"),
        ("noreply@example.org", ""),
        ("<noreply@example.org>", ""),
    ],
)
def test_the_senders_name_keeps_its_quotes(database_url: str, sender: str, name: str) -> None:
    read = build(database_url, sender)
    (address,) = read["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, "noreply@example.org")
    assert not [defect for defect in read["From"].defects if "quot" in str(defect)]
