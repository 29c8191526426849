"""The transport `sendmail`: what the program gets, and what its exit status means."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mail_relay import PostOffice, Relay, Row
from threepid.clock import HOUR, MINUTE
from threepid.config import Email, SendmailTransport
from threepid.delivery.jobs.messages import mails
from threepid.delivery.mail.email import Mailer
from threepid.delivery.worker import Worker


def program(folder: Path, code: str) -> str:
    """A program that writes down what it was given, and then runs `code`."""
    path = folder / "sendmail"
    path.write_text(
        f"#!{sys.executable}\n"
        "import json, os, signal, sys, time\n"
        f"folder = {str(folder)!r}\n"
        "mail = sys.stdin.buffer.read()\n"
        "with open(folder + '/log', 'a') as log:\n"
        "    print(json.dumps([sys.argv[1:], mail.decode()]), file=log)\n"
        f"{code}\n"
    )
    path.chmod(0o700)
    return str(path)


def transport(folder: Path, code: str = "", **settings: Any) -> SendmailTransport:
    return SendmailTransport(command=(program(folder, code), "-i"), **settings)


def given(folder: Path) -> list[tuple[list[str], str]]:
    log = folder / "log"
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


async def one(office: PostOffice, recipient: str = "bob@example.com") -> Row:
    order_id = await office.order(recipient, life=HOUR)
    await office.worker.run_once()
    return await office.row(order_id)


def test_the_program_gets_the_sender_the_recipient_and_the_mail(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with PostOffice(database_url, transport(tmp_path)) as office:
            assert (await one(office)).sent_at is not None
            ((arguments, mail),) = given(tmp_path)
            assert arguments == ["-i", "-f", "noreply@example.org", "--", "bob@example.com"]
            assert "\r" not in mail
            assert "\nTo: bob@example.com\n" in mail
            assert office.worker.tally.sent == {("email", "sendmail"): 1}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("envelope_from", "otherwise"), [("", "noreply@example.org"), ("returned@example.net", "returned@example.net")]
)
def test_the_sender_is_the_address_to_which_the_mail_returns(
    database_url: str, tmp_path: Path, envelope_from: str, otherwise: str
) -> None:
    async def run() -> None:
        via = transport(tmp_path, envelope_from=envelope_from)
        async with PostOffice(database_url, via) as office:
            settings = Email(sender="Example <noreply@example.org>", via=(via,))
            senders = {"order0": "bounces+order0.x@example.org", "order1": ""}
            mailer = Mailer(settings, office.database, office.clock, lambda job_id: senders[job_id])
            office.deliver_by(mails(mailer, office.renderer, office.clock))
            for _ in senders:
                assert (await one(office)).sent_at is not None
            assert [arguments[2] for arguments, _ in given(tmp_path)] == ["bounces+order0.x@example.org", otherwise]

    asyncio.run(run())


@pytest.mark.parametrize("recipient", ["-oQ/tmp@example.com", "$(touch x)@example.com", "a'b`c`@example.com"])
def test_no_recipient_is_an_option_or_a_command(database_url: str, tmp_path: Path, recipient: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url, transport(tmp_path, envelope_from="bounces@example.org")) as office:
            row = await one(office, recipient)
            if row.sent_at is None:
                assert given(tmp_path) == []  # not an address for us at all
            else:
                assert given(tmp_path)[0][0] == ["-i", "-f", "bounces@example.org", "--", recipient]

    asyncio.run(run())
    assert not Path("x").exists()


@pytest.mark.parametrize("status", [65, 67, 68])
def test_a_status_about_the_mail_is_final(database_url: str, tmp_path: Path, status: int) -> None:
    async def run() -> None:
        async with (
            Relay() as second,
            PostOffice(database_url, transport(tmp_path, f"sys.exit({status})"), second.transport()) as office,
        ):
            row = await one(office)
            assert row.failed_at is not None
            assert str(row.last_error).endswith(f"was refused: status {status}")
            assert second.verbs == []

    asyncio.run(run())


@pytest.mark.parametrize("status", [1, 64, 69, 70, 71, 73, 74, 75, 77, 78])
def test_any_other_status_is_about_this_machine(database_url: str, tmp_path: Path, status: int) -> None:
    async def run() -> None:
        async with (
            Relay() as second,
            PostOffice(database_url, transport(tmp_path, f"sys.exit({status})"), second.transport()) as office,
        ):
            assert (await one(office)).sent_at is not None
            assert len(second.received) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    "code",
    ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(128 + 9)", "time.sleep(60)"],
    ids=["killed", "137", "slow"],
)
def test_a_program_that_was_killed_may_have_sent_the_mail(database_url: str, tmp_path: Path, code: str) -> None:
    async def run() -> None:
        via = transport(tmp_path, code, timeout=2.0 if "sleep" in code else 30.0)
        async with Relay() as second, PostOffice(database_url, via, second.transport()) as office:
            row = await one(office)
            assert str(row.last_error).startswith("in doubt at sendmail: sendmail: ")
            assert row.due_at == office.clock.now() + 2 * MINUTE
            program(tmp_path, "")
            office.clock.advance(2 * MINUTE)
            await office.worker.run_once()
            assert (office.worker.sent, second.verbs) == (1, [])
            first, again = (
                [line for line in mail.splitlines() if line.startswith("Message-ID")] for _, mail in given(tmp_path)
            )
            assert first == again != []

    asyncio.run(run())


def test_a_program_that_ignores_its_input_decides_by_its_status(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "sendmail"
    path.write_text("#!/bin/sh\nexit 75\n")
    path.chmod(0o700)

    async def run() -> None:
        async with PostOffice(database_url, SendmailTransport(command=(str(path),))) as office:
            assert (await one(office)).last_error == "sendmail: status 75"

    asyncio.run(run())


def test_a_missing_program_is_a_later_mail(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with PostOffice(database_url, SendmailTransport(command=(str(tmp_path / "none"),))) as office:
            assert (await one(office)).last_error == "sendmail: cannot be started: FileNotFoundError"

    asyncio.run(run())


def test_a_server_that_stops_leaves_no_program_behind(database_url: str, tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"

    async def run() -> None:
        async with PostOffice(database_url, transport(tmp_path, code)) as office:
            order_id = await office.order(life=HOUR)
            worker = Worker(office.database, office.clock, office.job_types, stop_seconds=0.05)
            stop = asyncio.Event()
            running = asyncio.create_task(worker.run(stop))
            pid = tmp_path / "pid"
            async with asyncio.timeout(20):
                while not (pid.exists() and pid.read_text()):
                    await asyncio.sleep(0.01)
                stop.set()
                worker.wake()
                await running
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid.read_text()), 0)
            assert (await office.row(order_id)).last_error == "in doubt at sendmail: sendmail: broken off"

    asyncio.run(run())
