"""A20: forty ways to write one number are one contact, one login and one budget at every endpoint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from data.phone_spellings import CANONICAL, INTERNATIONAL, NATIONAL, REFUSED
from world import PASSWORD, World

C: Final = "/_matrix/client/v3"
WAYS: Final = {
    "register": f"{C}/register/msisdn/requestToken",
    "add": f"{C}/account/3pid/msisdn/requestToken",
    "reset": f"{C}/account/password/msisdn/requestToken",
    "identity": "/_matrix/identity/v2/validate/msisdn/requestToken",
}
SPELLINGS: Final = [*INTERNATIONAL, *NATIONAL]
AUTH: Final = {"type": "m.login.password", "user": "alice", "password": PASSWORD}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, sms__countries=["GB"]) as made:
        yield made


def ask(world: World, way: str, spelling: str, secret: str, tokens: dict[str, str], **more: Any) -> Any:
    body = {"client_secret": secret, "country": "GB", "phone_number": spelling, "send_attempt": 1}
    return world.post(WAYS[way], body, token=tokens.get(way), **more)


def signed_in(world: World) -> dict[str, str]:
    """The tokens with which each way is gone."""
    token = world.register()
    return {"add": token, "identity": world.identity_token(token)}


def proven(world: World, spelling: str, secret: str, tokens: dict[str, str]) -> dict[str, str]:
    sid = ask(world, "add", spelling, secret, tokens).json()["sid"]
    body = {"sid": sid, "client_secret": secret, "token": world.text().code}
    assert world.post("/_threepid/client/v1/submit_token", body).json() == {"success": True}
    return {"sid": sid, "client_secret": secret}


def test_all_spellings_by_all_ways_have_one_budget(database_url: str, tmp_path: Path) -> None:
    proxies: dict[str, Any] = {"server__trusted_proxies": ["127.0.0.1"]}
    with World(database_url, tmp_path, sms__countries=["GB"], limits__all="on", **proxies) as world:
        tokens = signed_in(world)
        statuses = []
        for number, spelling in enumerate(SPELLINGS):
            for way in WAYS:
                headers = {"X-Forwarded-For": f"198.51.100.{number}"}
                statuses.append(ask(world, way, spelling, f"{way}{number}", tokens, headers=headers).status_code)
        # The third of the burst is kept for callers whom the account with the number knows (A13).
        assert statuses == [200] * 2 + [429] * (len(statuses) - 2)
        assert [text.recipient for text in world.texts()] == [f"+{CANONICAL}"] * 2


@pytest.mark.parametrize("way", WAYS)
def test_all_spellings_are_one_session_and_one_text(world: World, way: str) -> None:
    tokens = signed_in(world)
    answers = [ask(world, way, spelling, "secret", tokens) for spelling in SPELLINGS]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["sid"] for answer in answers}) == 1
    assert [text.recipient for text in world.texts()] == [f"+{CANONICAL}"]


def test_all_spellings_are_one_contact(world: World) -> None:
    tokens = signed_in(world)
    for number, spelling in enumerate(SPELLINGS):
        body = {**proven(world, spelling, f"s{number}", tokens), "auth": AUTH}
        assert world.post(f"{C}/account/3pid/add", body, token=tokens["add"]).status_code == 200
        (contact,) = world.get(f"{C}/account/3pid", token=tokens["add"]).json()["threepids"]
        assert (contact["medium"], contact["address"]) == ("msisdn", CANONICAL)


def test_nobody_else_gets_the_number_by_another_spelling(world: World) -> None:
    tokens = signed_in(world)
    bob = {"add": world.register("bob")}
    proofs = [proven(world, spelling, f"b{number}", bob) for number, spelling in enumerate(SPELLINGS[1::8])]
    body = {**proven(world, SPELLINGS[0], "s", tokens), "auth": AUTH}
    assert world.post(f"{C}/account/3pid/add", body, token=tokens["add"]).status_code == 200
    for proof in proofs:
        body = {**proof, "auth": {**AUTH, "user": "bob"}}
        answer = world.post(f"{C}/account/3pid/add", body, token=bob["add"])
        assert (answer.status_code, answer.json()["errcode"]) == (400, "M_THREEPID_IN_USE")
    # From now on every spelling tells the owner, and no code goes out.
    for number, spelling in enumerate(SPELLINGS):
        assert ask(world, "add", spelling, f"c{number}", bob).status_code == 200
        assert "Somebody tried to add this number" in world.text().text


def test_every_spelling_logs_in_and_what_is_refused_logs_nobody_in(world: World) -> None:
    tokens = signed_in(world)
    body = {**proven(world, SPELLINGS[0], "s", tokens), "auth": AUTH}
    world.post(f"{C}/account/3pid/add", body, token=tokens["add"])
    login = {"type": "m.login.password", "password": PASSWORD}
    identifiers = [
        *({"type": "m.id.phone", "country": "GB", "phone": spelling} for spelling in SPELLINGS),
        *({"type": "m.id.thirdparty", "medium": "msisdn", "address": spelling} for spelling in INTERNATIONAL),
        {"type": "m.id.phone", "country": "gb", "number": "07400 123456"},
    ]
    for identifier in identifiers:
        answer = world.post(f"{C}/login", {**login, "identifier": identifier})
        assert answer.status_code == 200, identifier
        assert answer.json()["user_id"] == "@alice:example.org"
    for number in (0, 5, 15, 20, 27, 36):
        for identifier in (
            {"type": "m.id.phone", "country": "GB", "phone": REFUSED[number]},
            {"type": "m.id.thirdparty", "medium": "msisdn", "address": REFUSED[number]},
        ):
            answer = world.post(f"{C}/login", {**login, "identifier": identifier})
            assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")


def test_every_international_spelling_removes_the_contact(world: World) -> None:
    tokens = signed_in(world)
    for number, spelling in enumerate(INTERNATIONAL):
        body = {**proven(world, SPELLINGS[0], f"s{number}", tokens), "auth": AUTH}
        assert world.post(f"{C}/account/3pid/add", body, token=tokens["add"]).status_code == 200
        assert world.contacts(tokens["add"]) == [CANONICAL]
        delete = {"medium": "msisdn", "address": spelling}
        assert world.post(f"{C}/account/3pid/delete", delete, token=tokens["add"]).status_code == 200
        assert world.contacts(tokens["add"]) == [], spelling


def test_what_is_no_plain_number_is_refused_alike_everywhere(world: World) -> None:
    tokens = signed_in(world)
    body = {**proven(world, SPELLINGS[0], "s", tokens), "auth": AUTH}
    world.post(f"{C}/account/3pid/add", body, token=tokens["add"])
    before = world.texts()
    for spelling in REFUSED:
        for way in WAYS:
            answer = ask(world, way, spelling, "secret", tokens)
            assert answer.status_code == 400, spelling
            # A text with NUL is refused before anybody looks at what it is meant to be.
            expected = ("M_BAD_JSON",) if "\0" in spelling else ("M_INVALID_PARAM", "M_INVALID_ADDRESS")
            assert answer.json()["errcode"] in expected, spelling
        delete = {"medium": "msisdn", "address": spelling}
        assert world.post(f"{C}/account/3pid/delete", delete, token=tokens["add"]).status_code in (200, 400)
    assert world.contacts(tokens["add"]) == [CANONICAL]
    assert world.texts() == before
