"""F28: a report arrives while the database is away, or the server is killed while it takes one in."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from bounce_reports import BOB, mail_to, notification, suppressed, world_with_reports
from databases import Around
from mail_relay import Flaky
from threepid.delivery.maildir import Maildir
from threepid.domain.bounces.intake import Outcome
from threepid.storage.engine.database import Busy, Tx
from world import World

T = TypeVar("T")


class Full(Around):
    """A database whose disk is full when a write commits."""

    async def write(self, fn: Callable[[Tx], T]) -> T:
        def step(tx: Tx) -> T:
            fn(tx)
            raise Busy("full")

        return await self.inside.write(step)


def test_a_report_stays_in_the_maildir_until_the_database_is_back(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "mails" / "new").mkdir(parents=True)
    with world_with_reports(database_url, tmp_path) as world:
        file = tmp_path / "mails" / "new" / "report"
        file.write_bytes(notification(mail_to(world)))
        reader = Maildir(tmp_path / "mails", world.server.services.bounces)
        flaky = world.database.inside = Flaky(world.database.inside)
        flaky.refusals = 1
        with pytest.raises(Busy):
            world.run(reader.run_once())
        assert file.exists()
        assert world.run(reader.run_once()) == 1
        assert [found.canonical for found in suppressed(world)] == [BOB]
        assert not file.exists()


def test_a_report_that_is_taken_in_again_after_a_crash_has_no_second_effect(world_folder: tuple[World, Path]) -> None:
    world, folder = world_folder
    raw = notification(mail_to(world))
    assert world.run(world.server.services.bounces.take(raw)) is Outcome.COUNTED
    (folder / "new" / "report").write_bytes(raw)  # killed before it was deleted
    before = suppressed(world)
    world.clock.advance(1000)
    assert world.run(Maildir(folder, world.server.services.bounces).run_once()) == 1
    assert suppressed(world) == before
    assert list((folder / "new").iterdir()) == []


def test_a_transaction_that_fails_leaves_nothing_behind(world_folder: tuple[World, Path]) -> None:
    world, _ = world_folder
    raw = notification(mail_to(world))
    whole = world.database.inside
    world.database.inside = Full(whole)
    with pytest.raises(Busy):
        world.run(world.server.services.bounces.take(raw))
    world.database.inside = whole
    assert suppressed(world) == []
    assert world.run(world.server.services.bounces.take(raw)) is Outcome.COUNTED


@pytest.fixture
def world_folder(database_url: str, tmp_path: Path) -> Iterator[tuple[World, Path]]:
    (tmp_path / "mails" / "new").mkdir(parents=True)
    with world_with_reports(database_url, tmp_path) as world:
        yield world, tmp_path / "mails"


@pytest.mark.parametrize("broken", ["database", "config", "secret", "setting"])
def test_the_pipe_asks_the_mail_server_to_try_again(tmp_path: Path, broken: str) -> None:
    config = tmp_path / "threepid.toml"
    database = "postgresql://nobody@127.0.0.1:1/nothing" if broken == "database" else "sqlite:data/threepid.db"
    address = "" if broken == "setting" else "bounce_address = 'bounces@example.org'\n"
    text = f"[server]\nname = 'example.org'\n[accounts]\n[database]\nurl = '{database}'\n[email]\nfrom = 'x@example.org'\n{address}"
    config.write_text(text + ("via = [{ transport = 'mailbox' }]\n" if broken != "config" else "nonsense\n"))
    if broken == "secret":
        (tmp_path / "data" / "keys").mkdir(parents=True, mode=0o700)
        (tmp_path / "data" / "keys" / "vault.secret").write_text("damaged")
        (tmp_path / "data" / "keys" / "vault.secret").chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "threepid", "bounce", "--config", str(config)],
        cwd=tmp_path,
        input=notification("bounces@example.org"),
        capture_output=True,
        timeout=180,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 75, done.stderr
    assert done.stderr
    assert b"Traceback" not in done.stderr
