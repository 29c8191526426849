"""The life of a phone number: added, logged in with, recovered by, removed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from world import BASE, PASSWORD, World

C = "/_matrix/client/v3"
NUMBER = {"country": "GB", "phone_number": "07400 123456"}
STAGE = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, sms={"countries": ["GB", "DE"]}) as made:
        yield made


def validated(world: World, path: str, token: str | None = None, secret: str = "s", **number: Any) -> dict[str, str]:
    body = {"client_secret": secret, "send_attempt": 1, **(number or NUMBER)}
    answer = world.post(f"{C}/{path}/msisdn/requestToken", body, token=token)
    assert answer.status_code == 200, answer.text
    sid, submit_url = answer.json()["sid"], answer.json()["submit_url"]
    submit = {"sid": sid, "client_secret": secret, "token": world.text().code}
    assert world.post(submit_url.removeprefix(BASE), submit).json() == {"success": True}
    world.clock.advance(1)
    return {"sid": sid, "client_secret": secret}


@pytest.fixture
def alice(world: World) -> str:
    token = world.register()
    creds = validated(world, "account/3pid", token)
    assert world.post(f"{C}/account/3pid/add", {**creds, "auth": STAGE}, token=token).json() == {}
    return token


def test_the_number_is_listed_in_its_canonical_form(world: World, alice: str) -> None:
    (contact,) = world.get(f"{C}/account/3pid", token=alice).json()["threepids"]
    assert (contact["medium"], contact["address"]) == ("msisdn", "447400123456")


@pytest.mark.parametrize("hidden", [True, False])
def test_the_client_learns_the_number_that_gets_the_text(database_url: str, tmp_path: Path, *, hidden: bool) -> None:
    """Element shows it beside the field for the code, and lists it among the numbers as soon as it is added."""
    with World(database_url, tmp_path, sms={"countries": ["GB"]}, accounts__hide_existence=hidden) as world:
        token = world.register()
        creds = validated(world, "account/3pid", token)
        assert world.post(f"{C}/account/3pid/add", {**creds, "auth": STAGE}, token=token).json() == {}
        body = {"client_secret": "s", "send_attempt": 2, "country": "GB", "phone_number": "07400 654321"}
        for path, number in (("register", body), ("account/3pid", body), ("account/password", {**body, **NUMBER})):
            answer = world.post(f"{C}/{path}/msisdn/requestToken", number).json()
            assert set(answer) == {"sid", "msisdn", "submit_url"}
            assert answer["msisdn"] == ("447400123456" if path == "account/password" else "447400654321")


IDENTIFIERS: list[dict[str, Any]] = [
    {"identifier": {"type": "m.id.phone", "country": "GB", "phone": "07400 123456"}},
    {"identifier": {"type": "m.id.phone", "country": "gb", "phone": "07400 123456"}},
    {"identifier": {"type": "m.id.phone", "country": "DE", "phone": "+44 7400 123456"}},
    {"identifier": {"type": "m.id.phone", "country": "GB", "number": "07400123456"}},
    {"identifier": {"type": "m.id.phone", "country": "", "phone": "+44 7400 123456"}},
    {"identifier": {"type": "m.id.thirdparty", "medium": "msisdn", "address": "447400123456"}},
    {"identifier": {"type": "m.id.thirdparty", "medium": "msisdn", "address": "+44 7400 123456"}},
    {"medium": "msisdn", "address": "447400123456"},
]


@pytest.mark.parametrize("who", IDENTIFIERS)
def test_one_logs_in_with_it(world: World, alice: str, who: dict[str, Any]) -> None:
    assert alice
    answer = world.post(f"{C}/login", {"type": "m.login.password", "password": PASSWORD, **who})
    assert answer.json()["user_id"] == "@alice:example.org"
    wrong = world.post(f"{C}/login", {"type": "m.login.password", "password": "wrong", **who})
    assert (wrong.status_code, wrong.json()["errcode"]) == (403, "M_FORBIDDEN")


def test_one_recovers_the_account_with_it(world: World, alice: str) -> None:
    creds = validated(world, "account/password")
    asked = world.post(f"{C}/account/password", {"new_password": "another password"})
    assert ["m.login.msisdn"] in [flow["stages"] for flow in asked.json()["flows"]]
    auth = {"type": "m.login.msisdn", "threepid_creds": creds}
    body = {"new_password": "another password", "auth": auth}
    assert world.post(f"{C}/account/password", body).json() == {}
    assert world.get(f"{C}/account/whoami", token=alice).status_code == 401
    login = {**STAGE, "password": "another password"}
    assert world.post(f"{C}/login", login).status_code == 200
    # The phone was told.
    assert "password" in world.text().text


def test_removing_it_takes_any_spelling(world: World, alice: str) -> None:
    body = {"medium": "msisdn", "address": "+44 7400 123456"}
    assert world.post(f"{C}/account/3pid/delete", body, token=alice).status_code == 200
    assert world.contacts(alice) == []
    for who in IDENTIFIERS:
        login = {"type": "m.login.password", "password": PASSWORD, **who}
        assert world.post(f"{C}/login", login).status_code == 403


@pytest.mark.parametrize(
    ("number", "errcode"),
    [
        ({"country": "GB", "phone_number": "hello"}, "M_INVALID_PARAM"),
        ({"country": "GB", "phone_number": "123"}, "M_INVALID_PARAM"),
        ({"country": "GB", "phone_number": "07400 123456 ext. 5"}, "M_INVALID_PARAM"),
        ({"country": "XX", "phone_number": "07400 123456"}, "M_INVALID_PARAM"),
        ({"country": "GBR", "phone_number": "07400 123456"}, "M_INVALID_PARAM"),
        ({"country": "FR", "phone_number": "06 12 34 56 78"}, "M_THREEPID_DENIED"),
        ({"country": "GB", "phone_number": "+33 6 12 34 56 78"}, "M_THREEPID_DENIED"),
    ],
)
def test_what_is_no_number_of_an_allowed_country_gets_no_text(
    world: World, number: dict[str, str], errcode: str
) -> None:
    for path in ("register", "account/3pid", "account/password"):
        body = {"client_secret": "s", "send_attempt": 1, **number}
        answer = world.post(f"{C}/{path}/msisdn/requestToken", body)
        assert answer.json()["errcode"] == errcode, answer.text
    assert world.texts() == []


def test_without_texts_phones_are_not_supported(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        body = {"client_secret": "s", "send_attempt": 1, **NUMBER}
        for path in ("register", "account/3pid", "account/password"):
            answer = world.post(f"{C}/{path}/msisdn/requestToken", body)
            assert (answer.status_code, answer.json()["errcode"]) == (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")


def test_the_identity_server_validates_and_binds_it(world: World, alice: str) -> None:
    identity = world.identity_token(alice)
    body = {"client_secret": "i", "send_attempt": 1, **NUMBER}
    sid = world.post("/_matrix/identity/v2/validate/msisdn/requestToken", body, token=identity).json()["sid"]
    submit = {"sid": sid, "client_secret": "i", "token": world.text().code}
    path = "/_matrix/identity/v2/validate/msisdn/submitToken"
    assert world.post(path, submit, token=identity).json() == {"success": True}
    bind = {"sid": sid, "client_secret": "i", "mxid": "@alice:example.org"}
    bound = world.post("/_matrix/identity/v2/3pid/bind", bind, token=identity).json()
    assert (bound["medium"], bound["address"]) == ("msisdn", "447400123456")


def test_the_number_of_somebody_else_is_told_to_its_owner_only(world: World, alice: str) -> None:
    assert alice
    body = {"client_secret": "x", "send_attempt": 1, **NUMBER}
    free = {"client_secret": "x", "send_attempt": 1, "country": "DE", "phone_number": "01512 3456789"}
    known = world.post(f"{C}/register/msisdn/requestToken", body)
    assert "already" in world.text().text.lower() or "@alice" in world.text().text
    unknown = world.post(f"{C}/register/msisdn/requestToken", free)
    assert known.status_code == unknown.status_code == 200
    assert known.json().keys() == unknown.json().keys()
