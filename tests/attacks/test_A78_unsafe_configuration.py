"""A78: a configuration that cannot be safe does not start, and one that may not be meant is warned of."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from threepid import config
from threepid.config.permissions import why_changeable
from threepid.config.suffixes import is_public_suffix
from threepid.storage.engine.connect import open_database, sqlite_path
from threepid.storage.engine.database import StorageError
from world import settings

SMTP = {"transport": "smtp", "host": "mail.example.org"}
GATEWAY = {"transport": "http", "url": "https://sms.example.org"}
NETWORKS = {
    "server__trusted_proxies": "[server] trusted_proxies",
    "outbound__allow": "[outbound] allow",
    "identity__v1__validate_from": "[identity] v1.validate_from",
}


def sound(tmp_path: Path, **changes: Any) -> config.Config:
    """A configuration that has no problem, with `changes`."""
    more: dict[str, Any] = {"accounts__registration": "closed", "email__via": [SMTP], "limits__all": "on"}
    return settings(tmp_path, **{**more, **changes})


def problems(tmp_path: Path, **changes: Any) -> list[str]:
    assert config.check(sound(tmp_path)) == []
    return [str(problem) for problem in config.check(sound(tmp_path, **changes))]


def warnings(tmp_path: Path, **changes: Any) -> list[str]:
    assert config.warnings(sound(tmp_path)) == []
    made = sound(tmp_path, **changes)
    assert config.check(made) == []
    return [problem.place for problem in config.warnings(made)]


# -- networks and names


@pytest.mark.parametrize(
    "network", ["10.0.0.0/7", "0.0.0.0/1", "fc00::/7", "2000::/3", "::ffff:0:0/96", "::ffff:0.0.0.0/97"]
)
@pytest.mark.parametrize("setting", NETWORKS)
def test_a_network_that_is_too_wide_is_refused(tmp_path: Path, setting: str, network: str) -> None:
    (found,) = problems(tmp_path, **{setting: ["127.0.0.1", network]})
    assert found.startswith(f"{NETWORKS[setting]}: '{network}' is too wide")


@pytest.mark.parametrize("network", ["10.0.0.0/8", "127.0.0.1", "fd00::/16", "::1", "::ffff:10.0.0.0/104"])
@pytest.mark.parametrize("setting", NETWORKS)
def test_a_network_of_an_organisation_is_taken(tmp_path: Path, setting: str, network: str) -> None:
    assert problems(tmp_path, **{setting: [network]}) == []


@pytest.mark.parametrize(
    "pattern",
    ["*.com", "*.COM", "*.org:8448", "*.net:*", "*.co.uk", "*.Com.AU", "*.github.io", "*.xn--p1ai", "*.duckdns.org:*"],
)
def test_a_pattern_that_names_strangers_is_no_trusted_server(tmp_path: Path, pattern: str) -> None:
    (found,) = problems(tmp_path, accounts__trusted_identity_servers=["id.example.org", pattern])
    assert (
        found
        == f"[accounts] trusted_identity_servers: {pattern!r} would trust strangers: anybody can register a name there"
    )


@pytest.mark.parametrize(
    "pattern", ["com", "id.co.uk", "*.example.org", "*.example.co.uk", "*.lan", "*.internal:8448", "localhost:*"]
)
def test_a_pattern_that_names_servers_of_ones_own_is_taken(tmp_path: Path, pattern: str) -> None:
    assert problems(tmp_path, accounts__trusted_identity_servers=[pattern]) == []


def test_a_domain_of_two_labels_is_mostly_somebodys_own() -> None:
    assert [
        name for name in ("example.de", "matrix.org", "vector.im", "web.de", "co.example.org") if is_public_suffix(name)
    ] == []


def test_second_levels_of_registries_are_nobodys_own() -> None:
    names = ("co.uk", "id.au", "asso.fr", "lg.jp", "pp.ua", "ngrok.io", "wordpress.com")
    assert [name for name in names if not is_public_suffix(name)] == []


# -- what is kept


@pytest.mark.parametrize(
    "path",
    [
        ":memory:",
        ":MEMORY:",
        "/:memory:",
        "//:memory:",
        "file::memory:",
        "file::memory:?cache=shared",
        "file:x?mode=memory",
        "file:/data/x.db?mode=memory&cache=shared",
        "file:threepid.db",
        "x.db?mode=memory",
        "file:/x?vfs=memdb",
        "",
        " ",
    ],
)
def test_a_database_in_memory_is_refused(tmp_path: Path, path: str) -> None:
    file = tmp_path / "threepid.toml"
    file.write_text(f'[database]\nurl = "sqlite:{path}"\n[accounts]\n')
    for made in (sound(tmp_path, database__url=f"sqlite:{path}"), config.load(file, {})):
        assert [problem.place for problem in config.check(made)] == ["[database] url"]


@pytest.mark.parametrize("path", ["", ":memory:", "file::memory:?cache=shared", "x.db?mode=memory"])
def test_no_command_opens_a_database_in_memory(path: str) -> None:
    with pytest.raises(StorageError):
        sqlite_path(f"sqlite:{path}")
    with pytest.raises(StorageError):
        open_database(f"sqlite:{path}", pool_size=1, password=None)


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o604, 0o640, 0o644, 0o666])
@pytest.mark.parametrize("name", ["threepid.db", "threepid.db-wal", "threepid.db-shm"])
def test_a_database_that_others_can_read_or_write_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    (tmp_path / "threepid.db").touch(0o600)
    (tmp_path / name).touch()
    (tmp_path / name).chmod(mode)
    (found,) = problems_of(tmp_path)
    assert found.startswith("[database] url: others can ")
    assert "chmod " in found
    (tmp_path / name).chmod(0o600)
    assert problems_of(tmp_path) == []


def problems_of(tmp_path: Path, **changes: Any) -> list[str]:
    return [str(problem) for problem in config.check(sound(tmp_path, **changes))]


@pytest.mark.parametrize("mode", [0o702, 0o720, 0o704, 0o750, 0o755, 0o777, 0o1777])
def test_keys_that_others_can_read_or_write_are_refused(tmp_path: Path, mode: int) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(0o700)
    keys.chmod(mode)
    (found,) = problems_of(tmp_path)
    assert found.startswith("[server] data_dir: others can ")
    keys.chmod(0o700)
    assert problems_of(tmp_path) == []


def templates(tmp_path: Path) -> Path:
    folder = tmp_path / "templates"
    (folder / "confirm_address").mkdir(parents=True)
    (folder / "confirm_address" / "subject.txt").write_text("x")
    return folder


@pytest.mark.parametrize("mode", [0o722, 0o720, 0o702, 0o777])
@pytest.mark.parametrize("name", ["", "confirm_address", "confirm_address/subject.txt"])
def test_templates_that_others_can_write_are_refused(tmp_path: Path, name: str, mode: int) -> None:
    folder = templates(tmp_path)
    assert problems_of(tmp_path, web__template_dir=str(folder)) == []
    (folder / name).chmod(mode)
    (found,) = problems_of(tmp_path, web__template_dir=str(folder))
    assert found == f"[web] template_dir: others can write {folder / name}: chmod go-w {folder / name}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.parametrize("name", ["threepid.db", "keys", "templates"])
def test_what_belongs_to_another_user_can_be_changed_by_them(tmp_path: Path, name: str) -> None:
    folder = templates(tmp_path)
    (tmp_path / "threepid.db").touch(0o600)
    (tmp_path / "keys").mkdir(0o700)
    os.chown(tmp_path / name, 12_345, -1)
    (found,) = problems_of(tmp_path, web__template_dir=str(folder))
    assert "belongs to another user (number 12345)" in found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_above_that_belongs_to_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "srv"
    folder.mkdir(mode=0o755)
    database = folder / "threepid.db"
    database.touch(mode=0o600)
    assert why_changeable(database) is None
    os.chown(folder, 1234, 1234)
    assert f"the folder {folder} belongs to another user (number 1234)" in (why_changeable(database) or "")


def test_a_folder_above_that_everybody_can_write_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    data = shared / "data"
    data.mkdir(parents=True, mode=0o700)
    data.chmod(0o700)
    shared.chmod(0o777)
    found = problems_of(data)
    assert {place.partition(":")[0] for place in found} == {"[server] data_dir", "[database] url"}
    assert all(f"others can write the folder {shared}" in place for place in found)
    shared.chmod(0o1777)  # there everybody can only remove what is their own
    assert problems_of(data) == []


def test_what_is_not_there_yet_is_made_in_private(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "new") == []


# -- secrets


def secret(tmp_path: Path, mode: int, *, name: str = "secret", owner: int | None = None) -> str:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("secret")
    file.chmod(mode)
    if owner is not None:
        os.chown(file, owner, owner)
    return str(file)


def of_secret(tmp_path: Path, file: str, **changes: Any) -> list[str]:
    via = {**SMTP, "username": "me", "password_file": file}
    found = problems_of(tmp_path, email__via=[via], **changes)
    assert all(problem.startswith("[email] via[0].password_file: ") for problem in found)
    return [problem.partition(": ")[2] for problem in found]


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_secret_that_its_group_can_read_is_taken_if_it_is_ours_or_roots(tmp_path: Path, mode: int) -> None:
    assert of_secret(tmp_path, secret(tmp_path, mode)) == []
    if os.geteuid() == 0:
        os.chown(tmp_path / "secret", 12_345, 12_345)
        found = of_secret(tmp_path, str(tmp_path / "secret"))
        assert bool(found) == bool(mode & 0o040)
        assert all("another user owns it" in problem for problem in found)


@pytest.mark.parametrize("mode", [0o660, 0o620, 0o602, 0o606, 0o666, 0o755])
def test_a_secret_that_others_can_change_is_never_taken(tmp_path: Path, mode: int) -> None:
    (found,) = of_secret(tmp_path, secret(tmp_path, mode), server__secret_dirs=[str(tmp_path)])
    assert found.startswith("others can change or run")


def test_a_secret_that_everybody_can_read_is_taken_only_where_a_setting_says(tmp_path: Path) -> None:
    file = secret(tmp_path, 0o444, name="mounted/secret")
    (found,) = of_secret(tmp_path, file)
    assert "everybody can read" in found
    assert "/run/secrets" in found
    assert "server.secret_dirs" in found
    (tmp_path / "mounted2").mkdir()
    assert of_secret(tmp_path, file, server__secret_dirs=[str(tmp_path / "mounted2")]) == [found]
    if os.geteuid() == 0:
        assert of_secret(tmp_path, file, server__secret_dirs=[str(tmp_path / "mounted")]) == []
        os.chown(file, 12_345, 12_345)
        (found,) = of_secret(tmp_path, file, server__secret_dirs=[str(tmp_path / "mounted")])
        assert "root does not own it" in found


@pytest.mark.skipif(os.geteuid() != 0, reason="only files of root are taken there")
def test_systemds_credentials_may_be_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = secret(tmp_path, 0o444, name="credentials/secret")
    for wrong in ("", "/", "credentials", str(tmp_path / "other")):
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", wrong)
        assert of_secret(tmp_path, file) != []
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert of_secret(tmp_path, file) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only files of root are taken there")
def test_a_link_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    secret(tmp_path, 0o444, name="mounted/..2026_01_01/password")
    (mounted / "..data").symlink_to("..2026_01_01")
    (mounted / "password").symlink_to("..data/password")
    dirs = {"server__secret_dirs": [str(mounted)]}
    assert of_secret(tmp_path, str(mounted / "password"), **dirs) == []
    secret(tmp_path, 0o444, name="elsewhere/password")
    (mounted / "out").symlink_to("../elsewhere/password")
    assert "everybody can read" in of_secret(tmp_path, str(mounted / "out"), **dirs)[0]
    assert "everybody can read" in of_secret(tmp_path, f"{mounted}/../elsewhere/password", **dirs)[0]


def test_a_secret_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty").touch(0o600)
    assert of_secret(tmp_path, str(tmp_path / "empty")) == [f"{tmp_path / 'empty'} is empty"]
    assert "No such file" in of_secret(tmp_path, str(tmp_path / "missing"))[0]
    assert of_secret(tmp_path, str(tmp_path)) == [f"{tmp_path} is not a file"]


@pytest.mark.parametrize("folder", ["/", "nothing"])
def test_a_folder_of_secrets_is_one_folder_that_is_there(tmp_path: Path, folder: str) -> None:
    (found,) = problems(tmp_path, server__secret_dirs=[str(tmp_path / folder)])
    assert found.startswith("[server] secret_dirs: ")


# -- warnings


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "8.8.8.8"])
def test_listening_everywhere_is_warned_of(tmp_path: Path, host: str) -> None:
    assert warnings(tmp_path, server__listen=f"{host}:8008") == ["[server] listen"]
    assert warnings(tmp_path, server__metrics_listen=f"{host}:9008") == ["[server] metrics_listen"]


@pytest.mark.parametrize("listen", ["127.0.0.1:8008", "[::1]:8008", "localhost:8008", "10.0.0.5:8008", "unix:/run/x"])
def test_listening_in_private_is_not(tmp_path: Path, listen: str) -> None:
    assert warnings(tmp_path, server__listen=listen) == []


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("postgresql://u@db.example.org/d?sslmode=disable", True),
        ("postgres://u@10.0.0.5:5432/d?sslmode=disable", True),
        ("postgresql://u@db.example.org/d?sslmode=allow", True),
        ("postgresql:///d?host=db.example.org&sslmode=disable", True),
        ("postgresql://localhost/d?hostaddr=10.0.0.5&sslmode=disable", True),
        ("postgresql://u@db.example.org/d?sslmode=verify-full", False),
        ("postgresql://u@db.example.org/d", False),
        ("postgresql://u@localhost/d?sslmode=disable", False),
        ("postgresql://u@[::1]/d?sslmode=disable", False),
        ("postgresql:///d?host=/run/postgresql&sslmode=disable", False),
        ("postgresql://%2Frun%2Fpostgresql/d?sslmode=disable", False),
    ],
)
def test_a_database_in_the_clear_is_warned_of(tmp_path: Path, url: str, warned: bool) -> None:
    assert warnings(tmp_path, database__url=url) == (["[database] url"] if warned else [])


@pytest.mark.parametrize(("length", "warned"), [(1, True), (7, True), (8, False), (12, False)])
def test_short_passwords_are_warned_of(tmp_path: Path, length: int, warned: bool) -> None:
    assert warnings(tmp_path, policy__password_min_length=length) == (
        ["[policy] password_min_length"] if warned else []
    )


def test_a_data_dir_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    assert warnings(tmp_path, server__data_dir=str(tmp_path / "data")) == ["[server] data_dir"]
    (tmp_path / "data").chmod(0o700)
    assert warnings(tmp_path, server__data_dir=str(tmp_path / "data")) == []


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({}, False),
        ({"email": None}, True),
        ({"email": None, "accounts": None}, False),
        ({"email": None, "sms__countries": ["DE"], "sms__via": [GATEWAY]}, False),
        ({"email": None, "sms__countries": [], "sms__via": [GATEWAY]}, True),
        ({"accounts__recover_with": []}, True),
        ({"accounts__recover_with": ["msisdn"]}, True),
        ({"email": None, "server__public_base_url": "http://localhost:8008"}, False),
    ],
)
def test_accounts_without_a_way_of_recovery_are_warned_of(
    tmp_path: Path, changes: dict[str, Any], warned: bool
) -> None:
    found = [str(one) for one in config.warnings(settings(tmp_path, **changes))]
    assert [one.partition(":")[0] for one in found] == (["[accounts] recover_with"] if warned else [])


def test_a_warning_stops_nothing_and_a_problem_does(tmp_path: Path) -> None:
    file = tmp_path / "threepid.toml"
    file.write_text('[server]\nlisten = "0.0.0.0:8008"\n[accounts]\n[policy]\npassword_min_length = 6\n')

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "threepid", "config", "check", "--config", str(file)], capture_output=True, text=True
        )

    warned = check()
    assert (warned.returncode, warned.stdout) == (0, "The configuration is valid.\n")
    assert [line.partition(": ")[2].partition(":")[0] for line in warned.stderr.splitlines()] == [
        "[server] listen",
        "[accounts] recover_with",
        "[policy] password_min_length",
    ]
    assert all(line.startswith("Warning: ") for line in warned.stderr.splitlines())
    file.write_text(file.read_text() + '[database]\nurl = "sqlite::memory:"\n')
    refused = check()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "[database] url: is in memory" in refused.stderr
