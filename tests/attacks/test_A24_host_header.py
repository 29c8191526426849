"""A24: every link that we write begins with the configured public_base_url."""

import pytest

from world import BASE, World

HEADERS = [
    {"Host": "evil.example"},
    {"X-Forwarded-Host": "evil.example"},
    {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"},
    {"Forwarded": "host=evil.example;proto=http"},
    {"X-Original-URL": "https://evil.example/"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=" ".join)
def test_headers_do_not_change_the_link(world: World, headers: dict[str, str]) -> None:
    identity = world.identity_token(world.register())
    body = {"client_secret": "secret", "email": "alice@example.com", "send_attempt": 1}
    path = "/_matrix/identity/v2/validate/email/requestToken"
    assert world.post(path, body, token=identity, headers=headers).status_code == 200
    mail = world.mail()
    assert f"{BASE}/confirm/" in mail.text
    assert b"evil.example" not in mail.raw
    assert "evil.example" not in world.get(mail.link, headers=headers).text
