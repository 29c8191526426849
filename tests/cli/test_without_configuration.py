"""Commands that nobody told which server they are about."""

from pathlib import Path

import pytest

from forked import forked

ABOUT_DATA = [
    ["account", "list"], ["account", "show", "alice"], ["message", "send-test", "you@example.org"], ["doctor"], ["migrate"],
    ["outbox", "list"], ["keys", "list"], ["proxy", "nginx"], ["audit", "export"],
    ["import", "sydent", "--database", "sqlite:sydent.db", "--server-name", "id.example.org"],
]  # fmt: skip


@pytest.mark.timeout(120)
def test_a_command_asks_for_the_configuration_where_no_development_server_was(tmp_path: Path) -> None:
    """Otherwise an operator who forgot `--config` would read that a test was sent, or that there is no such account."""
    for command, done in zip(ABOUT_DATA, forked(ABOUT_DATA, cwd=tmp_path), strict=True):
        assert (done.status, done.out) == (2, ""), command
        assert done.err.startswith("Name the configuration: -c FILE or THREEPID_CONFIG."), command
        assert len(done.err.splitlines()) == 1
    assert [*tmp_path.iterdir()] == []


def test_a_development_server_has_commands_without_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "threepid-data").mkdir(mode=0o700)
    (done,) = forked([["account", "list", "--json"]], cwd=tmp_path)
    assert (done.status, done.out) == (0, "[]\n"), done.err


def test_a_check_without_a_file_says_what_it_checked(tmp_path: Path) -> None:
    shown, checked = forked([["config", "show"], ["config", "check", "--offline"]], cwd=tmp_path)
    assert (shown.status, shown.err) == (0, "")
    assert (checked.status, checked.out) == (0, "The configuration is valid.\n")
    assert checked.err == "Warning: no file is named, so these are the settings of a development server.\n"
