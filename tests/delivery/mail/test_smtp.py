"""A relay that behaves: TLS of both kinds, logins, old manners."""

import asyncio
import base64
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mail_relay import PostOffice, Relay, authority
from threepid.config import ConfigError, Email, SmtpTransport
from threepid.delivery.errors import InDoubt, RelayDown
from threepid.delivery.jobs.messages import mails
from threepid.delivery.mail.email import Mailer
from threepid.delivery.mail.smtp import SmtpRelay
from threepid.storage.outbox import ClaimedJob


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


@pytest.mark.parametrize(
    ("envelope_from", "otherwise"), [("", "noreply@example.org"), ("returned@example.net", "returned@example.net")]
)
def test_a_mail_returns_to_its_own_address(database_url: str, envelope_from: str, otherwise: str) -> None:
    """MAIL FROM names the mail; its headers do not change. A mail without such an address has that of the relay or of `from`."""

    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            via = relay.transport(envelope_from=envelope_from)
            settings = Email(sender="Example <noreply@example.org>", via=(via,))
            senders = {"order0": "bounces+order0.x@example.org", "order1": ""}
            mailer = Mailer(settings, office.database, office.clock, lambda job_id: senders[job_id])
            office.deliver_by(mails(mailer, office.renderer, office.clock))
            for _ in senders:
                await office.order()
                await office.worker.run_once()
            assert [mail.sender for mail in relay.received] == [
                "FROM:<bounces+order0.x@example.org>",
                f"FROM:<{otherwise}>",
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


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_the_certificate_has_the_name_of_tls_name_which_is_asked_for(
    database_url: str, tmp_path: Path, tls: str, runner: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def run() -> None:
        asked: list[str | None] = []
        context = authority().server("mail.example.test")
        context.sni_callback = lambda _socket, name, _context: asked.append(name)
        async with Relay(tls=context) if tls == "tls" else Relay(starttls=context) as relay:
            settings = {"tls": tls, "ca_file": authority().file(tmp_path), "tls_name": "mail.example.test"}
            await deliver(database_url, relay, **settings)
            assert (len(relay.received), asked) == (1, ["mail.example.test"])
            via = relay.transport(**{**settings, "tls_name": "localhost"})
            with pytest.raises(RelayDown, match="SSLCertVerificationError"):
                await SmtpRelay(via, "noreply@example.org").send(
                    ClaimedJob("1", "email", "", "en", "", "", 0, 1, 1), b"x\r\n"
                )

    runner(run())


def test_the_names_in_ehlo_and_on_the_envelope_are_the_configured_ones(database_url: str) -> None:
    async def run() -> None:
        async with Relay() as relay:
            await deliver(database_url, relay, helo_name="out.example.net", envelope_from="bounces@example.net")
            (mail,) = relay.received
            assert relay.lines[0] == b"EHLO out.example.net\r\n"
            assert (mail.sender, mail.message["From"]) == (
                "FROM:<bounces@example.net>",
                "Example <noreply@example.org>",
            )

    asyncio.run(run())


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_a_mail_that_is_broken_off_gets_no_final_dot(runner: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    """The rest of the buffer is thrown away on the event loop of the server, too: a relay must not accept it later."""

    async def run() -> None:
        goes_on, ended = asyncio.Event(), asyncio.Event()
        got = bytearray()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 relay.test\r\n")
            while (line := await reader.readline()) != b"DATA\r\n":
                writer.write(b"250 fine\r\n" if line else b"")
            writer.write(b"354 go ahead\r\n")
            await goes_on.wait()
            try:
                while part := await reader.read(1024 * 1024):
                    got.extend(part)
            except ConnectionError:
                pass
            writer.close()
            ended.set()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        content = b"Subject: long\r\n\r\n" + (b"y" * 70 + b"\r\n") * 400_000
        via = SmtpTransport(host="127.0.0.1", port=port, tls="plain", answer_timeout=0.3)
        with pytest.raises(InDoubt, match="timeout"):
            await SmtpRelay(via, "noreply@example.org").send(
                ClaimedJob("1", "email", "b@c", "en", "", "", 0, 1, 1), content
            )
        goes_on.set()
        async with asyncio.timeout(20):
            await ended.wait()
        server.close()
        assert b"\r\n.\r\n" not in got
        assert len(got) < 400_000 * 72

    runner(run())
