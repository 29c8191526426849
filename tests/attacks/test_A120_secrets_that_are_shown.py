"""A120: what `config show` prints goes into tickets and chats, so no secret stands in it."""

from pathlib import Path
from typing import Any

import pytest

from threepid import config
from world import settings

GATEWAY = {"transport": "http", "url": "https://sms.example/send"}


def of_gateway(**more: Any) -> dict[str, Any]:
    return {"sms__countries": ["DE"], "sms__via": [{**GATEWAY, **more}]}


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"database__url": "postgresql://u:canary@db/x"}, "postgresql://u:***@db/x"),
        ({"database__url": "postgresql://u@db/x?password=canary&sslmode=require"}, "password=***&sslmode=require"),
        ({"database__url": "postgresql://[canary:canary@/x"}, "postgresql://***"),
        (of_gateway(url="https://sms.example/send?apikey=canary&to={to}"), "apikey=***&to={to}"),
        (of_gateway(url="https://sms.example/send?user=u&pwd=canary"), "user=u&pwd=***"),
        (of_gateway(url="https://u:canary@sms.example/send"), "https://u:***@sms.example/send"),
        (of_gateway(headers={"Authorization": "Basic canary", "Accept": "text/plain"}), "text/plain"),
        (of_gateway(headers={"X-Api-Key": "canary"}), "X-Api-Key"),
        (of_gateway(headers={"Cookie": "a=canary"}), "Cookie"),
        (of_gateway(body='{"to": "{to}", "api_token": "canary", "text": "{text}"}'), "{text}"),
        (of_gateway(body="{'password' : 'canary', 'to': '{to}'}"), "{to}"),
        (of_gateway(body="to={to}&secret=canary&text={text}"), "secret=***&text={text}"),
    ],
)
def test_a_secret_that_stands_in_a_setting_is_masked(tmp_path: Path, changes: dict[str, Any], kept: str) -> None:
    shown = config.shown(settings(tmp_path, **changes))
    assert "canary" not in shown
    assert "***" in shown
    assert kept in shown


def test_the_content_of_secret_files_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("canary")
    shown = config.shown(settings(tmp_path, database__password_file=str(tmp_path / "password")))
    assert str(tmp_path / "password") in shown
    assert "canary" not in shown
