"""Connections to relays that stay open for the next mail, and what happens when they break."""

import asyncio
from collections import Counter

import aiosmtplib
import pytest

from mail_relay import DROP, Background, PostOffice, Relay
from threepid.clock import MINUTE, SECOND
from threepid.config import SmtpTransport
from threepid.delivery.mail.kept import MOST, Kept, Line
from threepid.delivery.traffic import AT_ONCE


async def until(sent: PostOffice, count: int) -> None:
    async with asyncio.timeout(20):
        while sent.worker.sent + sent.worker.retried + sent.worker.failed < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("mails", "connections"), [(1, 40), (5, 8), (100, AT_ONCE)])
def test_many_mails_share_few_connections(database_url: str, mails: int, connections: int) -> None:
    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport(mails_per_connection=mails)) as office:
            for number in range(40):
                await office.order(f"bob{number}@example.com")
            await office.worker.run_once()
            assert len({mail.recipients[0] for mail in relay.received}) == len(relay.received) == 40
            assert connections <= relay.talked <= max(connections, AT_ONCE + 40 // mails)
            said = Counter(relay.verbs)
            assert said["QUIT"] == said["EHLO"] == relay.talked

    asyncio.run(run())


def test_a_connection_is_used_again_after_a_pause_and_left_at_the_end(database_url: str) -> None:
    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            async with Background(office.worker):
                for count in (1, 2, 3):
                    await office.order()
                    office.worker.wake()
                    await until(office, count)
                assert (relay.talked, "QUIT" in relay.verbs) == (1, False)
            assert relay.verbs == ["EHLO", *["MAIL", "RCPT", "DATA"] * 3, "QUIT"]

    asyncio.run(run())


def test_a_connection_that_the_relay_closed_costs_the_next_mail_nothing(database_url: str) -> None:
    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            async with Background(office.worker):
                for count in (1, 2):
                    order_id = await office.order()
                    office.worker.wake()
                    await until(office, count)
                    relay.hang_up()
            assert (office.worker.sent, relay.talked, len(relay.received)) == (2, 2, 2)
            assert (await office.row(order_id)).attempts == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    "answer", ["421 4.7.0 too many mails", "451 4.3.0 too many mails", "550 5.7.1 no more", "503 not now", "what?", ""]
)
def test_a_kept_connection_that_takes_no_more_is_replaced_at_once(database_url: str, answer: str) -> None:
    """Each connection takes one mail; the answer to the second MAIL is `answer`, or the connection is closed."""
    taken: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mails = 0
        writer.write(b"220 relay.test\r\n")
        while line := await reader.readline():
            mails += line.startswith(b"MAIL")
            if line.startswith(b"MAIL") and mails > 1:
                if not answer:
                    break
                writer.write(f"{answer}\r\n".encode())
            elif line.startswith(b"DATA"):
                writer.write(b"354 go ahead\r\n")
                taken.append(await reader.readuntil(b"\r\n.\r\n"))
                writer.write(b"250 taken\r\n")
            else:
                writer.write(b"250 fine\r\n")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        via = SmtpTransport(host="127.0.0.1", port=server.sockets[0].getsockname()[1], tls="plain")
        async with PostOffice(database_url, via) as office:
            for number in range(20):
                await office.order(f"bob{number}@example.com")
            await office.worker.run_once()
            assert (office.worker.sent, office.worker.retried, len(taken)) == (20, 0, 20)
        server.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("verb", "pause", "in_doubt"), [("RCPT", 5 * SECOND, False), ("DATA", 2 * MINUTE, False), ("END", 2 * MINUTE, True)]
)
def test_a_kept_connection_that_breaks_later_is_like_any_other(
    database_url: str, verb: str, pause: int, in_doubt: bool
) -> None:
    """A mail whose sender the relay has accepted is not tried again at once: behind the last dot, it is in doubt."""

    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            async with Background(office.worker):
                await office.order()
                office.worker.wake()
                await until(office, 1)
                relay.script[verb] = DROP
                order_id = await office.order("eve@example.com")
                office.worker.wake()
                await until(office, 2)
            row = await office.row(order_id)
            assert (row.sent_at, row.due_at) == (None, office.clock.now() + pause)
            assert str(row.last_error).startswith("in doubt at ") == in_doubt
            assert (relay.talked, len(relay.received)) == (1, 1)

    asyncio.run(run())


def test_a_rejected_recipient_leaves_nothing_of_the_mail_to_the_next_one(database_url: str) -> None:
    async def run() -> None:
        async with (
            Relay({"RCPT": "550 5.1.1 no such user"}) as relay,
            PostOffice(database_url, relay.transport()) as office,
        ):
            await office.order("nobody@example.com")
            await office.worker.run_once()
            relay.script.clear()
            await office.order("bob@example.com")
            await office.worker.run_once()
            assert (office.worker.failed, office.worker.sent) == (1, 1)
            assert [mail.recipients for mail in relay.received] == [["TO:<bob@example.com>"]]

    asyncio.run(run())


def test_idle_and_surplus_connections_are_left() -> None:
    async def run() -> None:
        left: list[aiosmtplib.SMTP] = []

        async def leave(client: aiosmtplib.SMTP) -> None:
            left.append(client)
            await client.quit()

        async with Relay() as relay:
            kept = Kept(100, leave, idle=0.05)
            lines = []
            for _ in range(MOST + 1):
                client = aiosmtplib.SMTP(hostname="127.0.0.1", port=relay.port, start_tls=False)
                await client.connect()
                lines.append(Line(client))
            for line in lines:
                kept.put(line)
            await asyncio.sleep(0)
            assert left == [lines[-1].client]
            assert kept.take() is lines[-2]  # the one that was used last
            async with asyncio.timeout(5):
                while len(left) < MOST:
                    await asyncio.sleep(0.01)
            assert kept.take() is None
            assert lines[-2].client.is_connected
            kept.put(lines[-2])
            await kept.close()
            assert len(left) == MOST + 1

    asyncio.run(run())


@pytest.mark.parametrize(
    "extra",
    [
        "250 extra",
        "250 extra\r\n250 more",
        "250 ok\r\n250 ok\r\n354 ok",
        "354 go ahead",
        "550 5.1.1 no such user",
        "221 bye",
    ],
)
def test_an_answer_too_many_is_taken_for_no_answer_to_the_next_mail(database_url: str, extra: str) -> None:
    """A relay that answers twice would else be one answer ahead, and accept for one mail what was said of another."""
    taken: dict[str, str] = {}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient = ""
        writer.write(b"220 relay.test\r\n")
        while line := await reader.readline():
            if line.startswith(b"RCPT"):
                recipient = line.partition(b"<")[2].partition(b">")[0].decode()
                writer.write(b"550 5.1.1 no such user\r\n" if "bad" in recipient else b"250 fine\r\n")
            elif line.startswith(b"DATA"):
                if "bad" in recipient:
                    writer.write(b"503 no recipient\r\n")
                    continue
                writer.write(b"354 go ahead\r\n")
                mail = await reader.readuntil(b"\r\n.\r\n")
                taken[recipient] = mail.partition(b"To: ")[2].partition(b"\r\n")[0].decode()
                writer.write(f"250 taken\r\n{extra}\r\n".encode())
            else:
                writer.write(b"250 fine\r\n")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        via = SmtpTransport(host="127.0.0.1", port=server.sockets[0].getsockname()[1], tls="plain")
        async with PostOffice(database_url, via) as office:
            orders = {}
            async with Background(office.worker):
                for count, name in enumerate(("a", "b", "bad1", "c", "bad2", "d"), 1):
                    orders[name] = await office.order(f"{name}@example.com")
                    office.worker.wake()
                    await until(office, count)
            rows = {name: await office.row(order) for name, order in orders.items()}
            assert {name for name, row in rows.items() if row.sent_at is not None} == {"a", "b", "c", "d"}
            assert {name for name, row in rows.items() if row.failed_at is not None} == {"bad1", "bad2"}
            assert taken == {address: address for address in taken}
            assert all(row.attempts == 1 for row in rows.values())
        server.close()

    asyncio.run(run())
