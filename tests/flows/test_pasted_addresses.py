"""An address that was pasted with blanks and invisible marks around it is the same address everywhere."""

from typing import Any

import pytest

from data.hostile_emails import AROUND
from world import BASE, PASSWORD, World

C = "/_matrix/client/v3"
LOGIN = {"type": "m.login.password", "password": PASSWORD}
PASTED = [f"{mark}Bob@example.net" for mark in AROUND] + [f"bob@EXAMPLE.net{mark}" for mark in AROUND]


@pytest.fixture
def bob(world: World) -> str:
    token = world.register("bob")
    assert world.add(token, world.validated(world.identity_token(token, "bob"), "bob@example.net")).status_code == 200
    return token


def logs_in(world: World, **who: Any) -> bool:
    answer = world.post(f"{C}/login", {**LOGIN, **who})
    assert answer.status_code in (200, 403)
    return bool(answer.status_code == 200)


def test_it_logs_in(world: World, bob: str) -> None:
    assert bob
    for text in PASTED:
        assert logs_in(world, identifier={"type": "m.id.thirdparty", "medium": "email", "address": text}), repr(text)
    assert logs_in(world, medium="email", address=" bob@example.net ")
    assert not logs_in(world, medium="email", address="bob@example.net\n")
    assert not logs_in(world, medium="email", address="bob @example.net")


@pytest.mark.parametrize("text", PASTED, ids=repr)
def test_a_code_goes_to_the_plain_address(world: World, text: str) -> None:
    body = {"client_secret": "s", "email": text, "send_attempt": 1}
    assert world.post(f"{C}/register/email/requestToken", body).status_code == 200
    assert world.mail().recipient.casefold() == "bob@example.net"


def test_it_recovers_the_account(world: World, bob: str) -> None:
    body = {"client_secret": "s", "email": "\tbob@example.net\N{ZERO WIDTH SPACE}", "send_attempt": 1}
    answer = world.post(f"{C}/account/password/email/requestToken", body).json()
    submit = {"sid": answer["sid"], "client_secret": "s", "token": world.mail().code}
    assert world.post(answer["submit_url"].removeprefix(BASE), submit).json() == {"success": True}
    creds = {"sid": answer["sid"], "client_secret": "s"}
    auth = {"type": "m.login.email.identity", "threepid_creds": creds}
    assert world.post(f"{C}/account/password", {"new_password": "another password", "auth": auth}).json() == {}
    assert world.get(f"{C}/account/whoami", token=bob).status_code == 401


@pytest.mark.parametrize("what", ["delete", "unbind"])
def test_it_is_removed(world: World, bob: str, what: str) -> None:
    identity = world.identity_token(bob, "bob")
    sid = world.validated(identity, "bob@example.net", secret="bind")
    creds = {"sid": sid, "client_secret": "bind"}
    bound = {**creds, "id_server": "matrix.example.org", "id_access_token": identity}
    assert world.post(f"{C}/account/3pid/bind", bound, token=bob).status_code == 200
    body = {"medium": "email", "address": "\N{NO-BREAK SPACE}bob@example.net "}
    answer = world.post(f"{C}/account/3pid/{what}", body, token=bob)
    assert answer.json() == {"id_server_unbind_result": "success"}
    assert world.contacts(bob) == ([] if what == "delete" else ["bob@example.net"])
