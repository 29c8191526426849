"""A110: whoever gets the secret that both servers share can be either: it must go nowhere else."""

import asyncio
from pathlib import Path

import pytest

from beside import V3, beside_a_synapse
from fake_synapse import SECRET, fake_synapse
from threepid import config
from threepid.config import ConfigError, Secret
from threepid.domain import services
from threepid.remote.guard import RemoteError
from threepid.remote.homeserver.synapse import Synapse
from world import settings


def test_a_redirect_does_not_take_the_secret_to_another_server() -> None:
    with fake_synapse() as trusted, fake_synapse() as other:
        trusted.replies["provision_user"] = 302, b""
        with pytest.raises(RemoteError):
            asyncio.run(Synapse(f"http://127.0.0.1:{trusted.port}", Secret(SECRET)).provision_user("alice"))
        assert other.calls == []


def test_a_forwarded_request_carries_the_callers_credentials_alone(database_url: str, tmp_path: Path) -> None:
    with beside_a_synapse(database_url, tmp_path) as both:
        body = {"type": "m.login.application_service", "username": "irc_bob"}
        both.world.post(f"{V3}/register", body, headers={"X-Secret": "x", "Cookie": "a=b"})
        (called,) = both.synapse.calls
        assert SECRET not in f"{called.headers} {called.raw!r}"
        assert "cookie" not in called.headers
        assert "authorization" not in called.headers


def test_no_log_has_the_secret(database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with beside_a_synapse(database_url, tmp_path) as both:
        both.world.register()
        both.synapse.replies["upsert_device"] = 403, {"errcode": "M_UNKNOWN"}
        both.log_in()
    written = capsys.readouterr()
    assert "homeserver.secret_file" in written.out
    assert SECRET not in written.out + written.err


@pytest.mark.parametrize("secret", ["", "two words", "line\nbreak", "schlüssel"])
def test_a_secret_that_the_homeserver_would_read_otherwise_is_refused(tmp_path: Path, secret: str) -> None:
    with fake_synapse() as synapse:
        changes = synapse.settings(tmp_path)
    (tmp_path / "synapse.secret").write_text(secret)
    with pytest.raises(ConfigError, match="visible ASCII"):
        services._synapse(settings(tmp_path, **changes))


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        ("http://127.0.0.1:8008", True),
        ("http://[::1]:8008", True),
        ("http://localhost:8008/", True),
        ("http://10.1.2.3:8008", True),
        ("http://synapse:8008", True),
        ("https://matrix.example.org", True),
        ("http://matrix.example.org:8008", False),
        ("http://192.0.2.1:8008", True),
        ("http://8.8.8.8:8008", False),
        ("http://0.0.0.0:8008", False),
        ("http://user:word@127.0.0.1:8008", False),
        ("http://127.0.0.1:8008/?a=b", False),
        ("unix:/run/synapse.sock", False),
        ("", False),
    ],
)
def test_the_secret_does_not_cross_the_internet_unencrypted(tmp_path: Path, url: str, *, accepted: bool) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    homeserver = config.Homeserver(kind="synapse", url=url, secret_file=str(secret))
    found = [
        problem
        for problem in config.check(config.Config(accounts=config.Accounts(), homeserver=homeserver))
        if "homeserver" in problem.place
    ]
    assert (not found) is accepted, found
