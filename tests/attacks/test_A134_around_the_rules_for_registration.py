"""A134: a validation session of the identity server does not lead around the operator's rules for new accounts."""

from pathlib import Path
from typing import Any

import pytest

from world import PASSWORD, World

REGISTER = "/_matrix/client/v3/register"
RULES: dict[str, Any] = {
    "accounts__required_contacts": ["email"],
    "identity__v1__validate": True,
    "policy__register_email_domains_allowed": ["school.example"],
}


def validated(world: World, address: str) -> str:
    """A session of the identity server, which anybody may open by its old API where that is on."""
    path = "/_matrix/identity/api/v1/validate/email"
    sid = world.post(f"{path}/requestToken", {"client_secret": "s", "email": address, "send_attempt": 1}).json()["sid"]
    world.post(f"{path}/submitToken", {"client_secret": "s", "sid": sid, "token": world.mail().code})
    return str(sid)


@pytest.mark.parametrize(("domain", "status"), [("evil.example", 401), ("school.example", 200)])
def test_the_rules_hold_for_sessions_of_the_identity_server(
    database_url: str, tmp_path: Path, domain: str, status: int
) -> None:
    with World(database_url, tmp_path, **RULES) as world:
        sid = validated(world, f"mallory@{domain}")
        body = {"username": "mallory", "password": PASSWORD}
        session = world.post(REGISTER, body).json()["session"]
        creds = {"sid": sid, "client_secret": "s"}
        auth = {"type": "m.login.email.identity", "session": session, "threepid_creds": creds}
        answer = world.post(REGISTER, {**body, "auth": auth})
        assert answer.status_code == status, answer.text
        if status != 200:
            assert answer.json()["errcode"] == "M_THREEPID_DENIED"
