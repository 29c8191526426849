"""Access tokens for XOAUTH2, which a program prints."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
import structlog

from mail_relay import PostOffice, Relay, authority
from threepid.clock import HOUR
from threepid.config import SmtpTransport
from threepid.delivery.errors import RelayDown
from threepid.delivery.mail.tokens import Tokens


def printing(folder: Path, code: str) -> tuple[str, ...]:
    """A command that counts its runs and then runs `code` in a shell."""
    path = folder / "token-command"
    path.write_text(f"#!/bin/sh\necho >> {folder}/runs\n{code}\n")
    path.chmod(0o700)
    return (str(path), "an argument; with $(specials)")


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


def transport(relay: Relay, folder: Path, command: tuple[str, ...]) -> SmtpTransport:
    settings: dict[str, Any] = {"username": "us@example.org", "ca_file": authority().file(folder)}
    return relay.transport(tls="starttls", token_command=command, **settings)


def test_the_login_has_the_token_and_it_is_asked_for_once(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        command = printing(tmp_path, 'test "$1" = "an argument; with \\$(specials)" && echo to-ken.1')
        async with (
            Relay(starttls=authority().server(), offers=("AUTH XOAUTH2",)) as relay,
            PostOffice(database_url, transport(relay, tmp_path, command)) as office,
        ):
            for number in range(3):
                await office.order(f"bob{number}@example.com")
            await office.worker.run_once()
            assert len(relay.received) == 3
            told = {line.split()[2] for line in relay.lines if line.startswith(b"AUTH")}
            assert told == {base64.b64encode(b"user=us@example.org\x01auth=Bearer to-ken.1\x01\x01")}
            assert relay.verbs.index("STARTTLS") < relay.verbs.index("AUTH")
            assert runs(tmp_path) == 1

    asyncio.run(run())


def test_a_rejected_token_is_asked_for_again_and_not_told(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        command = printing(tmp_path, f"echo sec-ret-$(wc -l < {tmp_path}/runs)")
        script = {"AUTH": "334 eyJzdGF0dXMiOiI0MDEifQ==", "": "535 5.7.8 sec-ret-1 has expired"}
        with structlog.testing.capture_logs() as logs:
            async with (
                Relay(script, starttls=authority().server(), offers=("AUTH XOAUTH2",)) as relay,
                PostOffice(database_url, transport(relay, tmp_path, command)) as office,
            ):
                order_id = await office.order(life=HOUR)
                await office.worker.run_once()
                error = str((await office.row(order_id)).last_error)
                assert error == f"localhost:{relay.port}: SMTPAuthenticationError 535 5.7.8"
                relay.script.clear()
                office.clock.advance(5000)
                await office.worker.run_once()
                assert (len(relay.received), runs(tmp_path)) == (1, 2)
        assert "sec-ret" not in str(logs)
        assert office.worker.tally.failures == {("email", f"localhost:{relay.port}", "login"): 1}

    asyncio.run(run())


def test_a_relay_without_xoauth2_gets_no_token(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        command = printing(tmp_path, "echo token")
        async with (
            Relay(starttls=authority().server(), offers=("AUTH PLAIN",)) as relay,
            PostOffice(database_url, transport(relay, tmp_path, command)) as office,
        ):
            order_id = await office.order()
            await office.worker.run_once()
            assert str((await office.row(order_id)).last_error).endswith("XOAUTH2 is not offered")
            assert "AUTH" not in relay.verbs

    asyncio.run(run())


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("echo token; exit 3", "ended with status 3"),
        ("true", "did not print a token"),
        ("echo two words", "did not print a token"),
        ("printf 'a\\nb'", "did not print a token"),
        ("printf 't\\303\\266ken'", "did not print a token"),
        ("head -c 100000 /dev/zero | tr '\\0' a", "did not print a token"),
        ("kill -9 $$", "ended with status -9"),
    ],
)
def test_a_program_without_a_token_is_the_relays_failure(tmp_path: Path, code: str, trouble: str) -> None:
    with pytest.raises(RelayDown, match=rf"^token_command {trouble}$") as raised:
        asyncio.run(Tokens(printing(tmp_path, code)).get())
    assert (raised.value.retry, raised.value.cause) == (True, "login")


def test_a_missing_program_is_the_relays_failure(tmp_path: Path) -> None:
    with pytest.raises(RelayDown, match="cannot be started: FileNotFoundError"):
        asyncio.run(Tokens((str(tmp_path / "none"),)).get())


def test_many_mails_at_once_run_the_program_once_and_keep_the_newest_token(tmp_path: Path) -> None:
    async def run() -> None:
        tokens = Tokens(printing(tmp_path, f"sleep 0.1; echo token-$(wc -l < {tmp_path}/runs)"))
        found = await asyncio.gather(*(tokens.get() for _ in range(8)))
        assert {token.reveal() for token in found} == {"token-1"}
        old = found[0]
        tokens.forget(old)
        new = await tokens.get()
        tokens.forget(old)  # a mail that began before
        assert (await tokens.get()) is new
        assert (new.reveal(), runs(tmp_path)) == ("token-2", 2)

    asyncio.run(run())
