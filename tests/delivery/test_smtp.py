"""A relay that behaves: TLS of both kinds, logins, old manners."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from mail_relay import PostOffice, Relay, authority
from threepid.config import ConfigError, Email, SmtpTransport
from threepid.delivery.email import Mailer
from threepid.delivery.jobs.messages import mails
from threepid.delivery.smtp import SmtpRelay


async def deliver(database_url: str, relay: Relay, **settings: Any) -> PostOffice:
    async with PostOffice(database_url, relay.transport(**settings)) as office:
        order_id = await office.order()
        await office.worker.run_once()
        assert (await office.row(order_id)).last_error is None
    return office


def test_a_mail_goes_to_the_stored_address_and_nobody_else(database_url: str) -> None:
    async def run() -> None:
        async with Relay() as relay:
            await deliver(database_url, relay)
            (mail,) = relay.received
            assert mail.sender == "FROM:<noreply@example.org>"
            assert mail.recipients == ["TO:<bob@example.com>"]
            assert mail.message["Message-ID"] == "<order0@example.org>"
            assert relay.verbs == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
            assert relay.lines[0] == b"EHLO example.org\r\n"

    asyncio.run(run())


def test_a_mail_returns_to_its_own_address(database_url: str) -> None:
    """MAIL FROM names the mail; its headers do not change. A mail without such an address has that of `from`."""

    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            settings = Email(sender="Example <noreply@example.org>", via=(relay.transport(),))
            senders = {"order0": "bounces+order0.x@example.org", "order1": ""}
            mailer = Mailer(settings, office.database, lambda job_id: senders[job_id])
            office.deliver_by(mails(mailer, office.renderer, office.clock))
            for _ in senders:
                await office.order()
                await office.worker.run_once()
            assert [mail.sender for mail in relay.received] == [
                "FROM:<bounces+order0.x@example.org>",
                "FROM:<noreply@example.org>",
            ]
            assert {str(mail.message["From"]) for mail in relay.received} == {"Example <noreply@example.org>"}
            assert relay.lines[0] == b"EHLO example.org\r\n"

    asyncio.run(run())


def test_starttls_comes_before_everything_else(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with Relay(starttls=authority().server()) as relay:
            await deliver(database_url, relay, tls="starttls", ca_file=authority().file(tmp_path))
            assert relay.verbs == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
            assert len(relay.received) == 1

    asyncio.run(run())


def test_tls_from_the_first_byte(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with Relay(tls=authority().server()) as relay:
            await deliver(database_url, relay, tls="tls", ca_file=authority().file(tmp_path))
            assert len(relay.received) == 1

    asyncio.run(run())


def test_helo_is_said_where_ehlo_is_refused(database_url: str) -> None:
    async def run() -> None:
        async with Relay({"EHLO": "502 what?"}) as relay:
            await deliver(database_url, relay)
            assert relay.verbs == ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "QUIT"]
            assert len(relay.received) == 1

    asyncio.run(run())


@pytest.mark.parametrize("answer", ["550 no", "421 gone", "drop", "nonsense"])
def test_a_bad_good_bye_is_no_failure(database_url: str, answer: str) -> None:
    async def run() -> None:
        async with Relay({"QUIT": answer}) as relay:
            office = await deliver(database_url, relay)
            assert (office.worker.sent, office.worker.retried, len(relay.received)) == (1, 0, 1)

    asyncio.run(run())


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
def test_the_login_goes_through_tls_only_after_it_is_up(database_url: str, tmp_path: Path, method: str) -> None:
    password = tmp_path / "password"
    password.write_text("pass wörd\n")
    script = {"AUTH": "334 UGFzc3dvcmQ6"} if method == "LOGIN" else {}

    async def run() -> None:
        async with Relay(script, starttls=authority().server(), offers=(f"AUTH {method}",)) as relay:
            encoded = base64.b64encode("pass wörd".encode())
            if method == "LOGIN":
                relay.script[encoded.decode().upper()] = "235 welcome"
            settings = {"username": "us@er", "password_file": str(password), "ca_file": authority().file(tmp_path)}
            await deliver(database_url, relay, tls="starttls", **settings)
            assert relay.verbs.index("STARTTLS") < relay.verbs.index("AUTH") < relay.verbs.index("MAIL")
            told = next(line for line in relay.lines if line.startswith(b"AUTH"))
            plain = b"\0us@er\0" + "pass wörd".encode()
            assert told.split()[2] == base64.b64encode(plain if method == "PLAIN" else b"us@er")
            assert method == "PLAIN" or encoded + b"\r\n" in relay.lines

    asyncio.run(run())


def test_a_missing_password_file_is_found_at_the_start(tmp_path: Path) -> None:
    settings = SmtpTransport(host="localhost", username="user", password_file=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="none"):
        SmtpRelay(settings, "noreply@example.org")
