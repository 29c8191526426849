"""A19: an address that was confirmed long ago does not recover the account, if the operator says so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from threepid.clock import DAY
from world import PASSWORD, World

C: Final = "/_matrix/client/v3"
NEW: Final = "another long password"
ADDRESSES: Final[dict[str, dict[str, str]]] = {
    "email": {"email": "alice@example.com"},
    "msisdn": {"country": "GB", "phone_number": "07400 123456"},
}
STAGES: Final = {"email": "m.login.email.identity", "msisdn": "m.login.msisdn"}
IDENTIFIERS: Final = {
    "email": {"type": "m.id.thirdparty", "medium": "email", "address": "alice@example.com"},
    "msisdn": {"type": "m.id.phone", "country": "GB", "phone": "07400 123456"},
}
AUTH: Final = {"type": "m.login.password", "user": "alice", "password": PASSWORD}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(
        database_url,
        tmp_path,
        sms__countries=["GB"],
        policy__reset_contact_max_age_days=30,
        accounts__deactivate_without_token=True,
    ) as made:
        yield made


def proof(world: World, medium: str, way: str, secret: str, token: str | None = None) -> dict[str, str]:
    """A validated session of the homeserver."""
    world.clock.advance(1)
    body = {"client_secret": secret, "send_attempt": 1, **ADDRESSES[medium]}
    sid = world.post(f"{C}/account/{way}/{medium}/requestToken", body, token=token).json()["sid"]
    # A notice of a new sign-in may have left in the same moment.
    code = world.mail_with_code().code if medium == "email" else world.text_with_code().code
    submitted = world.post("/_threepid/client/v1/submit_token", {"sid": sid, "client_secret": secret, "token": code})
    assert submitted.json() == {"success": True}
    return {"sid": sid, "client_secret": secret}


def add(world: World, token: str, medium: str, secret: str) -> None:
    body = {**proof(world, medium, "3pid", secret, token), "auth": AUTH}
    assert world.post(f"{C}/account/3pid/add", body, token=token).status_code == 200


def reset(world: World, medium: str, secret: str, path: str = "/account/password") -> httpx.Response:
    stage: dict[str, Any] = {"type": STAGES[medium], "threepid_creds": proof(world, medium, "password", secret)}
    body = {"new_password": NEW} if path == "/account/password" else {}
    return world.post(C + path, {**body, "auth": stage})


@pytest.mark.parametrize("medium", ADDRESSES)
def test_an_old_contact_opens_nothing_until_it_is_confirmed_again(world: World, medium: str) -> None:
    token = world.register()
    add(world, token, medium, "first")
    (contact,) = world.get(f"{C}/account/3pid", token=token).json()["threepids"]
    assert contact["validated_at"] == world.clock.now()
    world.clock.advance(30 * DAY)
    for path in ("/account/password", "/account/deactivate"):
        refused = reset(world, medium, f"late{path.replace('/', '-')}", path)
        assert refused.status_code == 401
        assert refused.json()["errcode"] == "M_FORBIDDEN"
        assert "validated too long ago" in refused.json()["error"]
    # The password is as good as ever, also with the contact as the name.
    login = {"type": "m.login.password", "identifier": IDENTIFIERS[medium], "password": PASSWORD}
    assert world.post(f"{C}/login", login).status_code == 200
    add(world, token, medium, "again")
    (again,) = world.get(f"{C}/account/3pid", token=token).json()["threepids"]
    assert again["validated_at"] == world.clock.now()
    assert again["added_at"] == contact["added_at"]
    assert reset(world, medium, "now").status_code == 200
    assert world.post(f"{C}/login", {**login, "password": NEW}).status_code == 200


@pytest.mark.parametrize("medium", ADDRESSES)
def test_a_contact_is_good_until_the_last_moment(world: World, medium: str) -> None:
    add(world, world.register(), medium, "first")
    world.clock.advance(30 * DAY - 1)  # and one millisecond until the reset is asked for
    assert reset(world, medium, "in-time").status_code == 200


def test_without_the_rule_a_contact_does_not_age(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        add(world, world.register(), "email", "first")
        world.clock.advance(3650 * DAY)
        assert reset(world, "email", "late").status_code == 200
