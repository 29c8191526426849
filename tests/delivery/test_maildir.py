"""The maildir in which reports arrive."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bounce_reports import BOB, mail_to, notification, suppressed, world_with_reports
from threepid.delivery import maildir
from threepid.delivery.maildir import Maildir
from threepid.domain.bounces.intake import MOST_BYTES
from world import World


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("new", "cur", "tmp"):
        (tmp_path / "mails" / name).mkdir(parents=True)
    return tmp_path / "mails"


@pytest.fixture
def world(database_url: str, tmp_path: Path, folder: Path) -> Iterator[World]:
    with world_with_reports(database_url, tmp_path, email__bounce_maildir=str(folder)) as world:
        yield world


@pytest.fixture
def reader(world: World, folder: Path) -> Maildir:
    return Maildir(folder, world.server.services.bounces)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_reports_are_taken_in_and_deleted_and_other_mails_put_aside(
    world: World, folder: Path, reader: Maildir
) -> None:
    (folder / "new" / "1.report.host").write_bytes(notification(mail_to(world)))
    (folder / "new" / "2.forged.host").write_bytes(notification("bounces@example.org"))
    (folder / "new" / "3.letter.host:2,").write_bytes(b"Subject: hello\n\nDear sirs,\n")
    (folder / "tmp" / "4.half").write_bytes(b"To: ")
    assert world.run(reader.run_once()) == 3
    assert [found.canonical for found in suppressed(world)] == [BOB]
    assert files(folder) == ["cur/3.letter.host:2,S", "tmp/4.half"]
    assert world.run(reader.run_once()) == 0


def test_links_pipes_and_folders_are_left_alone(world: World, folder: Path, reader: Maildir, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere"
    secret.write_bytes(notification(mail_to(world)))
    (folder / "new" / "link").symlink_to(secret)
    (folder / "new" / "broken").symlink_to(tmp_path / "nothing")
    os.mkfifo(folder / "new" / "pipe")
    (folder / "new" / "folder").mkdir()
    (folder / "new" / ".hidden").write_bytes(b"x")
    assert world.run(reader.run_once()) == 0
    assert suppressed(world) == []
    assert secret.exists()
    for name in ("link", "pipe", "folder"):  # even if it was a file a moment ago
        assert reader._read(name) is None


def test_only_the_beginning_of_a_long_mail_is_read(world: World, folder: Path, reader: Maildir) -> None:
    file = folder / "new" / "long"
    file.write_bytes(notification(mail_to(world)))
    os.truncate(file, 10 * MOST_BYTES)
    raw = reader._read("long")
    assert raw is not None
    assert len(raw) == MOST_BYTES
    assert world.run(reader.run_once()) == 1
    assert len(suppressed(world)) == 1
    assert files(folder) == []


def test_a_flood_is_taken_in_by_parts(world: World, folder: Path, reader: Maildir) -> None:
    for number in range(maildir.AT_ONCE + 10):
        (folder / "new" / str(number)).write_bytes(b"To: x\n\nspam")
    assert [world.run(reader.run_once()) for _ in range(3)] == [maildir.AT_ONCE, 10, 0]


def test_two_processes_share_a_maildir(world: World, folder: Path, reader: Maildir) -> None:
    senders = [mail_to(world, f"p{number}@example.com", number=number) for number in range(1, 9)]
    for sender in senders:
        (folder / "new" / sender.partition("@")[0]).write_bytes(notification(sender))
    world.together(reader.run_once, Maildir(folder, world.server.services.bounces).run_once)
    assert len(suppressed(world)) == len(senders)
    assert files(folder) == []


def test_a_maildir_that_is_gone_stops_nothing(world: World, tmp_path: Path) -> None:
    reader = Maildir(tmp_path / "nothing", world.server.services.bounces)
    assert [world.run(reader.run_once()) for _ in range(2)] == [0, 0]
