"""F07: whatever a relay does, a mail comes later or is given up for a reason: never lost, never in the clear."""

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mail_relay import DRIP, DROP, HANG, TAKEN, PostOffice, Relay, Row, authority
from threepid.clock import MINUTE, SECOND
from threepid.storage import outbox
from world import World

VERBS = ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "END"]
BEFORE_DATA = VERBS[:-2]
ANSWERS = ["421 4.3.2 closing", "451 4.3.0 later", "550 5.7.1 no"]


async def try_once(database_url: str, relay: Relay, **settings: Any) -> Row:
    """One try; then the relay is well, and the mail must arrive if it was not given up."""
    async with PostOffice(database_url, relay.transport(**settings)) as office:
        order_id = await office.order()
        async with asyncio.timeout(30):
            await office.worker.run_once()
        row = await office.row(order_id)
    relay.script.clear()
    async with PostOffice(database_url, relay.transport(), clock=office.clock) as office:  # in no hurry
        office.clock.advance(3 * MINUTE)
        await office.worker.run_once()
        healed = await office.row(order_id)
        assert (healed.sent_at is not None) == (row.failed_at is None)
        assert len(relay.received) == (0 if row.failed_at else 1)
        return row


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_refusal_is_final_only_where_it_is_about_the_mail(database_url: str, verb: str, answer: str) -> None:
    async def run() -> None:
        script = {verb: answer, "HELO": answer} if verb == "EHLO" else {verb: answer}
        async with Relay(script) as relay:
            row = await try_once(database_url, relay)
            final = answer.startswith("5") and verb in ("MAIL", "RCPT", "DATA", "END")
            assert (row.failed_at is not None) == final
            assert answer[:3] in str(row.last_error)
            assert final == (row.params == "")

    asyncio.run(run())


@pytest.mark.parametrize("fault", [HANG, DROP, DRIP, "nonsense", "250-" + "x" * 9000])
@pytest.mark.parametrize("verb", VERBS)
def test_a_relay_that_breaks_off_at_any_verb_gets_the_mail_later(database_url: str, verb: str, fault: str) -> None:
    async def run() -> None:
        async with Relay({verb: fault}) as relay:
            hurried = {"answer_timeout" if verb == "END" else "timeout": 1.0} if fault in (HANG, DRIP) else {}
            row = await try_once(database_url, relay, **hurried)
            assert (row.sent_at, row.failed_at) == (None, None)
            pause = row.due_at - 1_800_000_000_000
            # Once the mail was on its way the relay may have it: it is left alone for a while.
            assert pause == (5 * SECOND if verb in BEFORE_DATA else 2 * MINUTE)

    asyncio.run(run())


def test_an_answer_that_is_neither_yes_nor_no_is_a_doubt(database_url: str) -> None:
    async def run() -> None:
        async with Relay({"END": "299 perhaps"}) as relay:
            row = await try_once(database_url, relay)
            assert row.due_at - 1_800_000_000_000 == 2 * MINUTE

    asyncio.run(run())


def test_a_relay_that_took_the_mail_and_did_not_say_so_gets_it_again_with_the_same_id(database_url: str) -> None:
    async def run() -> None:
        async with (
            Relay({"END": TAKEN}) as relay,
            PostOffice(database_url, relay.transport()) as office,
        ):
            await office.order()
            await office.worker.run_once()
            assert office.worker.sent == 0
            relay.script.clear()
            office.clock.advance(2 * MINUTE)
            await office.worker.run_once()
            assert office.worker.sent == 1
            first, second = relay.received
            assert first.message["Message-ID"] == second.message["Message-ID"]
            assert first.message["Date"] == second.message["Date"]

    asyncio.run(run())


def test_nobody_listening_means_a_later_mail(database_url: str) -> None:
    async def run() -> None:
        async with Relay() as relay:
            gone = relay.transport()
        async with PostOffice(database_url, gone) as office:
            order_id = await office.order()
            await office.worker.run_once()
            row = await office.row(order_id)
            assert row.failed_at is None
            assert row.last_error == f"localhost:{gone.port}: ConnectionRefusedError"

    asyncio.run(run())


def test_one_refused_recipient_is_only_its_own_failure(database_url: str) -> None:
    async def run() -> None:
        async def accept(content: bytes) -> None:
            if b"To: bad" in content:
                raise ConnectionResetError

        async with Relay(accept=accept) as relay, PostOffice(database_url, relay.transport()) as office:
            for number in range(10):
                await office.order(f"{'bad' if number % 2 else 'good'}{number}@example.com")
            await office.worker.run_once()
            assert (office.worker.sent, office.worker.retried) == (5, 5)

    asyncio.run(run())


def nothing_was_told(relay: Relay) -> None:
    """Neither login nor sender nor recipient nor mail."""
    assert relay.received == []
    assert not {"AUTH", "MAIL", "RCPT", "DATA"} & set(relay.verbs)
    assert not any(b"bob" in line or b"c2VjcmV0" in line for line in relay.lines)


async def refused(database_url: str, relay: Relay, tmp_path: Path, tls: str) -> str:
    password = tmp_path / "password"
    password.write_text("secret")
    settings = {"username": "us", "password_file": str(password), "ca_file": authority().file(tmp_path)}
    async with PostOffice(database_url, relay.transport(tls=tls, timeout=2.0, **settings)) as office:
        order_id = await office.order()
        await office.worker.run_once()
        row = await office.row(order_id)
        assert (row.sent_at, row.failed_at) == (None, None)
        nothing_was_told(relay)
        return str(row.last_error).partition(": ")[2]


CERTIFICATES = {
    "of a stranger's authority": lambda: authority("a stranger's").server(),
    "for another name": lambda: authority().server("other.test"),
    "that has expired": lambda: authority().server(not_after=datetime(2020, 1, 1, tzinfo=UTC)),
}


@pytest.mark.parametrize("kind", CERTIFICATES)
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_wrong_certificate_gets_nothing(database_url: str, tmp_path: Path, tls: str, kind: str) -> None:
    async def run() -> None:
        context: ssl.SSLContext = CERTIFICATES[kind]()
        async with Relay(tls=context) if tls == "tls" else Relay(starttls=context, offers=("AUTH PLAIN",)) as relay:
            cause = await refused(database_url, relay, tmp_path, tls)
            assert cause.startswith("SSLCertVerificationError: ")

    asyncio.run(run())


@pytest.mark.parametrize("answer", [None, "454 4.7.0 not now", "502 no", "220 go ahead", HANG, DROP])
def test_without_starttls_nothing_is_sent_in_the_clear(database_url: str, tmp_path: Path, answer: str | None) -> None:
    async def run() -> None:
        # None: somebody on the way struck it from the offers. `220`: it is offered and agreed to, but no TLS follows.
        offers = ("AUTH PLAIN LOGIN", *(["STARTTLS"] if answer else []))
        async with Relay({"STARTTLS": answer} if answer else {}, offers=offers) as relay:
            cause = await refused(database_url, relay, tmp_path, "starttls")
            if answer is None:
                assert "STARTTLS extension not supported" in cause

    asyncio.run(run())


def test_starttls_is_not_asked_of_a_relay_that_knows_helo_only(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with Relay({"EHLO": "502 what?"}, starttls=authority().server()) as relay:
            assert "STARTTLS extension not supported" in await refused(database_url, relay, tmp_path, "starttls")

    asyncio.run(run())


def test_what_was_said_before_tls_is_forgotten(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        # An answer slipped in behind the 220 must not be taken for the answer to the EHLO inside TLS.
        injected = "220 go ahead\r\n250-evil\r\n250 AUTH PLAIN"
        async with Relay({"STARTTLS": injected}, starttls=authority().server()) as relay:
            cause = await refused(database_url, relay, tmp_path, "starttls")
            assert "AUTH" in cause or "SSL" in cause

    asyncio.run(run())


@pytest.mark.parametrize("answer", ["535 5.7.8 wrong password", "454 4.7.0 later", DROP])
def test_a_refused_login_is_no_verdict_about_the_mail(database_url: str, tmp_path: Path, answer: str) -> None:
    async def run() -> None:
        password = tmp_path / "password"
        password.write_text("secret")
        async with Relay({"AUTH": answer}, starttls=authority().server(), offers=("AUTH PLAIN",)) as relay:
            ca_file = authority().file(tmp_path)
            settings = {"tls": "starttls", "username": "u", "password_file": str(password), "ca_file": ca_file}
            row = await try_once(database_url, relay, **settings)
            assert row.failed_at is None
            assert "secret" not in str(row.last_error)

    asyncio.run(run())


def test_asking_for_a_code_does_not_wait_for_the_relay(database_url: str, tmp_path: Path) -> None:
    relay = Relay({"EHLO": HANG})
    via = {"transport": "smtp", "host": "localhost", "port": relay.port, "tls": "plain", "timeout": 60.0}

    async def scene(world: World) -> None:
        async def ask(address: str) -> int:
            body = {"client_secret": "secret", "email": address, "send_attempt": 1}
            path = "/_matrix/client/v3/register/email/requestToken"
            return (await world.acall("POST", path, body)).status_code

        async with relay:
            assert await ask("bob@example.com") == 200
            sending = asyncio.create_task(world.server.worker.run_once())
            async with asyncio.timeout(30):
                while not relay.verbs:
                    await asyncio.sleep(0.005)
            assert await ask("carol@example.com") == 200
            assert not sending.done()
        await sending  # the relay hung up
        assert await world.server.context.database.read(outbox.depth) == 2

    with World(database_url, tmp_path, email__via=[via]) as world:
        world.run(scene(world))
