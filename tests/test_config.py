"""The configuration is read strictly, and refuses what cannot be safe."""

from pathlib import Path
from typing import Any

import pytest

from threepid import config
from threepid.config import ConfigError, Listen, Secret, UnixListen
from world import settings


def places(tmp_path: Path, **changes: Any) -> list[str]:
    changes = {"limits__all": "on", **changes}
    return [problem.place for problem in config.check(settings(tmp_path, **{"accounts__registration": "closed", "email__via": [], **changes}))]  # fmt: skip


SMTP = {"transport": "smtp", "host": "mail.example.org"}
SYNAPSE = {"kind": "synapse", "url": "http://127.0.0.1:8008", "secret_file": "/no/such"}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"accounts__registration": "open"}, "[accounts] registration"),
        ({"server__public_base_url": "http://matrix.example.org"}, "[server] public_base_url"),
        ({"server__public_base_url": "ftp://x"}, "[server] public_base_url"),
        ({"server__public_base_url": "https://x/?a=b"}, "[server] public_base_url"),
        ({"server__public_base_url": "https://x:99999"}, "[server] public_base_url"),
        ({"server__listen": "nowhere"}, "[server] listen"),
        ({"server__listen": "127.0.0.1:99999"}, "[server] listen"),
        ({"server__metrics_listen": "9008"}, "[server] metrics_listen"),
        ({"server__name": "not a name"}, "[server] name"),
        ({"server__name": ""}, "[server] name"),
        ({"server__trusted_proxies": ["10.0.0.1/8"]}, "[server] trusted_proxies"),
        ({"server__tls": {"certificate_file": "/no/such", "key_file": "/no/such"}}, "[server] tls.key_file"),
        ({"outbound__allow": ["x"]}, "[outbound] allow"),
        ({"outbound__insecure_hosts": ["example.org:443"]}, "[outbound] insecure_hosts"),
        ({"outbound__nameservers": ["dns.example.org"]}, "[outbound] nameservers"),
        ({"database__url": "mysql://x"}, "[database] url"),
        ({"database__url": "postgresql://u:secret@h/d"}, "[database] url"),
        ({"accounts__trusted_identity_servers": ["*"]}, "[accounts] trusted_identity_servers"),
        ({"email__via": [{"transport": "mailbox"}]}, "[email] via[0]"),
        ({"email__via": [{**SMTP, "tls": "plain"}]}, "[email] via[0]"),
        ({"email__via": [{**SMTP, "username": "me"}]}, "[email] via[0]"),
        ({"limits__all": "off"}, "[limits] all"),
        ({"email__from": "nobody"}, "[email] from"),
        ({"web__template_dir": "/no/such"}, "[web] template_dir"),
        ({"web__default_language": "xx"}, "[web] default_language"),
        ({"web__languages": ["en", "fr"], "web__default_language": "de"}, "[web] default_language"),
        ({"accounts": None, "identity": None}, "[accounts], [identity]"),
        ({"homeserver": SYNAPSE, "oauth__enabled": False}, "[oauth] enabled"),
        ({"homeserver": SYNAPSE, "accounts": None}, "[homeserver]"),
    ],
)
def test_what_cannot_be_safe_is_named_by_its_place(tmp_path: Path, changes: dict[str, Any], place: str) -> None:
    assert place in places(tmp_path, **changes)


def test_a_sensible_configuration_has_no_problem(tmp_path: Path) -> None:
    assert places(tmp_path, email__via=[SMTP]) == []
    assert config.check(config.development()) == []


@pytest.mark.parametrize("enabled", [True, False])
def test_a_homeserver_asks_by_the_oauth_api_whose_a_token_is(tmp_path: Path, *, enabled: bool) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x" * 40)
    secret.chmod(0o600)
    homeserver = {"kind": "synapse", "url": "http://127.0.0.1:8010", "secret_file": str(secret)}
    found = places(tmp_path, email__via=[SMTP], homeserver=homeserver, oauth__enabled=enabled)
    assert found == ([] if enabled else ["[oauth] enabled"])


def test_the_oauth_api_may_be_off_without_a_homeserver_beside(tmp_path: Path) -> None:
    assert places(tmp_path, email__via=[SMTP], oauth__enabled=False) == []
    assert "[oauth] enabled" not in places(tmp_path, homeserver=SYNAPSE)


def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret")
    file.chmod(0o644)
    via = [{**SMTP, "username": "me", "password_file": str(file)}]
    assert "[email] via[0].password_file" in places(tmp_path, email__via=via)
    file.chmod(0o600)
    assert places(tmp_path, email__via=via) == []


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "threepid.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nport = 1\n", r"\[server\].*port"),
        ("[server]\nworkers = 'two'\n", r"\[server\] workers"),
        ("[server]\nworkers = 0\n", r"\[server\] workers"),
        ("[nosuch]\n", "nosuch"),
        ("[email]\nfrom = 'a@b'\n", "via"),
        ("[email]\nfrom = 'a@b'\nvia = [{ transport = 'pigeon' }]\n", "pigeon"),
        ("[server\n", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.load(write(tmp_path, text), {})


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, '[server]\nname = "a.example"\n')
    environment = {"THREEPID__SERVER__WORKERS": "3", "THREEPID__SERVER__NAME": "b.example", "OTHER": "x"}
    loaded = config.load(file, environment)
    assert (loaded.server.name, loaded.server.workers) == ("b.example", 3)
    with pytest.raises(ConfigError, match="nosuch"):
        config.load(file, {"THREEPID__SERVER__NOSUCH": "1"})


def test_paths_are_relative_to_the_files_folder(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path, '[database]\nurl = "sqlite:db/x.db"\n[server]\ndata_dir = "here"\n'), {})
    assert loaded.server.data_dir == str(tmp_path / "here")
    assert config.database_url(loaded) == f"sqlite:{tmp_path / 'db' / 'x.db'}"


def test_what_is_derived(tmp_path: Path) -> None:
    made = settings(tmp_path)
    assert config.identity_name(made) == "matrix.example.org"
    assert config.identity_name(settings(tmp_path, identity__name="id.example.org")) == "id.example.org"
    assert config.listen_address(settings(tmp_path, server__listen="[::1]:80")) == Listen("::1", 80)
    assert config.listen_address(settings(tmp_path, server__listen="unix:/run/x")) == UnixListen(Path("/run/x"))


def test_a_secret_is_never_printed(tmp_path: Path) -> None:
    file = write(tmp_path, "hunter2\n")
    secret = config.read_secret(file)
    assert f"{secret} {secret!r}" == "*** ***"
    assert secret.reveal() == "hunter2"
    assert isinstance(secret, Secret)
    with pytest.raises(ConfigError):
        config.read_secret(tmp_path / "nosuch")
