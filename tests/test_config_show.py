"""`config show` prints what the server uses, in a form that can be read back."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from test_cli import threepid
from threepid import config
from threepid.config import Config
from world import settings

FULL: dict[str, Any] = {
    "server__tls": {"certificate_file": "c.pem", "key_file": "k.pem"},
    "database__url": "postgresql://threepid@db.example.org/threepid?sslmode=verify-full",
    "accounts__captcha": {"site_key": "x", "secret_file": "captcha.secret"},
    "accounts__terms": [
        {
            "id": "a",
            "version": "1",
            "languages": {"de": {"name": 'Übung "1"\n\\', "url": "https://a.example"}, "en": {"name": "\x1b", "url": "x"}},
        }
    ],
    "email__via": [
        {"transport": "smtp", "host": "mail.example.org", "username": "u", "password_file": "p"},
        {"transport": "file", "directory": "out"},
        {"transport": "mailbox"},
    ],
    "sms__via": [
        {
            "transport": "http", "url": "https://sms.example/send", "headers": {"Authorization": "Bearer {secret}"},
            "body": '{"to": "{to}", "token": "{secret}"}', "accepted_json": {"/a b": ["x", 1, True]}, "secret_file": "s",
        },
        {"transport": "apprise", "url_file": "u", "countries": ["DE"]},
    ],
    "sms__countries": ["DE", "AT"],
}  # fmt: skip


@pytest.mark.parametrize("made", [config.development(), settings(Path("data")), settings(Path("data"), **FULL)])
def test_what_is_shown_is_read_back(made: Config) -> None:
    assert msgspec.convert(tomllib.loads(config.shown(made)), Config) == made


def test_settings_of_the_environment_and_defaults_are_shown(tmp_path: Path) -> None:
    (tmp_path / "threepid.toml").write_text('identity = {}\n[server]\nname = "a.example"\ndata_dir = "data"\n')
    done = threepid("config", "show", "-c", "threepid.toml", cwd=tmp_path, THREEPID__SERVER__WORKERS="3")
    shown = tomllib.loads(done.stdout)
    assert (shown["server"]["name"], shown["server"]["workers"], shown["identity"]["pepper_days"]) == (
        "a.example",
        3,
        30,
    )
    assert "accounts" not in shown
    assert shown["server"]["data_dir"] == str(tmp_path / "data")


def test_a_variable_that_is_misspelt_is_refused_and_another_programs_is_warned_of(tmp_path: Path) -> None:
    command = ("config", "check", "--offline", "-c", "threepid.toml")
    (tmp_path / "threepid.toml").write_text("identity = {}\n")
    refused = threepid(*command, cwd=tmp_path, THREEPID__SERVER__WORKRES="3")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.endswith("there is no such setting; did you mean `workers`?\n")
    warned = threepid(*command, cwd=tmp_path, THREEPID_SERVICE_HOST="10.0.0.1")
    assert warned.returncode == 0, warned.stderr
    assert "Warning: environment: THREEPID_SERVICE_HOST: no effect." in warned.stderr
