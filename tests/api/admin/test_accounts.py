"""The admin API: an operator finds a person, sees what is wrong, and helps."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from operators import ADMIN, get, operator_token, post, world_of_operators
from pausing import pause_until
from threepid.domain import audit
from threepid.storage import accounts, threepids
from threepid.storage.engine.database import Tx
from world import PASSWORD, World

C = "/_matrix/client/v3"
ALICE = "@alice:example.org"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path) as made:
        token = made.register()
        made.add(token, made.validated(made.identity_token(token)))
        yield made


@pytest.fixture
def token(world: World) -> str:
    return operator_token(world)


def events(world: World) -> list[tuple[str, str, str]]:
    """What the log says of alice's account, newest first."""
    found = world.run(audit.entries_of(world.server.context, ALICE, count=50))
    return [(one.event, one.caller_kind, one.caller) for one in found]


def log_in(world: World, password: str, **more: object) -> int:
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": password}
    return world.post(f"{C}/login", body, **more).status_code


@pytest.mark.parametrize("name", ["alice", ALICE, "alice@example.com", "ALICE@example.com", "@Alice:example.org"])
def test_an_account_is_found_by_every_name(world: World, token: str, name: str) -> None:
    answer = get(world, f"/accounts/{quote(name, safe='')}", token)
    assert answer.json()["user_id"] == ALICE
    assert [contact["address"] for contact in answer.json()["contacts"]] == ["alice@example.com"]


def test_an_account_is_found_by_its_number(database_url: str, tmp_path: Path) -> None:
    with world_of_operators(database_url, tmp_path, sms__countries=["GB"]) as world:
        world.register()
        token = operator_token(world)
        contact = {"medium": "msisdn", "address": "+44 7400 123456"}
        assert post(world, "/accounts/alice/contacts/add", token, contact).status_code == 200
        for number in ("+447400123456", "+44 (0)7400 123456", "+44-7400-123456"):
            found = get(world, f"/accounts?q={quote(number)}", token).json()["accounts"]
            assert [one["user_id"] for one in found] == [ALICE], number
            assert get(world, f"/accounts/{quote(number, safe='')}", token).json()["user_id"] == ALICE
        assert get(world, f"/accounts?q={quote('+447400123457')}", token).json()["accounts"] == []


@pytest.mark.parametrize(
    "name", ["nobody", "@alice:other.org", "nobody@example.com", "+441632960960", "%00", "a" * 600]
)
def test_what_does_not_exist_is_not_found(world: World, token: str, name: str) -> None:
    answer = get(world, f"/accounts/{name if name == '%00' else quote(name, safe='')}", token)
    assert answer.status_code in (400, 404)
    assert answer.json()["errcode"] in ("M_NOT_FOUND", "M_INVALID_PARAM", "M_UNRECOGNIZED")


def test_a_search_goes_page_by_page(world: World, token: str) -> None:
    for name in ("bob", "alina", "alan"):
        world.register(name)
    first = get(world, "/accounts?q=al&limit=2", token).json()
    assert [one["user_id"] for one in first["accounts"]] == ["@alan:example.org", ALICE]
    second = get(world, f"/accounts?q=al&limit=2&after={quote(first['next'])}", token).json()
    assert [one["user_id"] for one in second["accounts"]] == ["@alina:example.org"]
    assert second["next"] is None
    by_address = get(world, "/accounts?q=alice%40example.com", token).json()
    assert [(one["user_id"], one["contacts"]) for one in by_address["accounts"]] == [(ALICE, 1)]


def test_a_search_finds_the_middle_of_names_where_it_is_asked_to(world: World, token: str) -> None:
    def found(query: str) -> list[str]:
        return [one["user_id"] for one in get(world, f"/accounts?{query}", token).json()["accounts"]]

    assert found("q=LICE") == []
    assert found("q=LICE&anywhere=true") == [ALICE]
    assert found("q=Al") == found("q=%40ALI") == found("q=al&anywhere=true") == [ALICE]
    assert get(world, "/accounts?q=a&anywhere=maybe", token).status_code == 400


def test_a_new_password_signs_everything_else_out(world: World, token: str) -> None:
    answer = world.call("PUT", f"{ADMIN}/accounts/alice/password", {"password": "a better password"}, token=token)
    assert answer.json() == {}
    assert log_in(world, PASSWORD) == 403
    assert log_in(world, "a better password") == 200
    assert get(world, "/accounts/alice", token).json()["devices"][0]["seen_from"] == "127.0.0.1"
    assert (audit.Event.PASSWORD_CHANGED, audit.CallerKind.OPERATOR, "helpdesk") in events(world)
    assert "password" in world.mail().text


def test_a_link_lets_the_owner_choose_a_password(world: World, token: str) -> None:
    assert post(world, "/accounts/alice/password_link", token).status_code == 200
    assert world.mail().recipient == "alice@example.com"
    assert world.get(world.mail().link).status_code == 200
    assert (audit.Event.LINK_SENT, audit.CallerKind.OPERATOR, "helpdesk") in events(world)
    world.register("bob")
    assert post(world, "/accounts/bob/password_link", token).status_code == 404


def test_a_link_that_a_limit_holds_back_is_not_in_the_log(database_url: str, tmp_path: Path) -> None:
    limits = {"all": "on", "message_to_address": {"burst": 2, "per_hour": 1}}
    with world_of_operators(database_url, tmp_path, limits=limits) as world:
        world.register()
        token = operator_token(world)
        contact = {"medium": "email", "address": "alice@example.com"}
        assert post(world, "/accounts/alice/contacts/add", token, contact).status_code == 200
        answers = [post(world, "/accounts/alice/password_link", token).status_code for _ in range(3)]
        assert set(answers) == {200, 429}
        entries = [event for event, _, _ in events(world) if event == audit.Event.LINK_SENT]
        links = [mail for mail in world.mails() if "/reset/" in mail.text]
        assert len(entries) == len(links) == answers.count(200)


def test_contacts_are_added_verified_and_removed(world: World, token: str) -> None:
    contact = {"medium": "email", "address": "Alice@second.example.com"}
    assert post(world, "/accounts/alice/contacts/verify", token, contact).status_code == 404
    assert post(world, "/accounts/alice/contacts/add", token, contact).status_code == 200
    world.clock.advance(1000)
    assert post(world, "/accounts/alice/contacts/verify", token, contact).status_code == 200
    shown = get(world, "/accounts/alice", token).json()["contacts"][1]
    assert shown["validated_at"] == shown["added_at"] + 1000
    world.register("bob")
    assert post(world, "/accounts/bob/contacts/add", token, contact).json()["errcode"] == "M_THREEPID_IN_USE"
    assert post(world, "/accounts/bob/contacts/remove", token, contact).status_code == 404
    assert post(world, "/accounts/alice/contacts/remove", token, contact).status_code == 200
    assert len(get(world, "/accounts/alice", token).json()["contacts"]) == 1
    assert [event for event, kind, _ in events(world) if kind == audit.CallerKind.OPERATOR] == [
        audit.Event.CONTACT_REMOVED,
        audit.Event.CONTACT_VERIFIED,
        audit.Event.CONTACT_ADDED,
    ]


def test_a_contact_that_its_owner_removes_meanwhile_is_not_confirmed(world: World, token: str) -> None:
    """The removal is in a transaction that has not ended when the request begins. Confirmed, the contact would be back."""

    async def run() -> httpx.Response:
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()

        def remove(tx: Tx) -> None:
            accounts.lock(tx, ALICE)
            assert threepids.delete(tx, ALICE, "email", "alice@example.com")
            loop.call_soon_threadsafe(begun.set)
            pause_until(tx, lambda: False, 0.5)  # the request waits for the end of this transaction

        removing = asyncio.create_task(world.database.write(remove))
        await begun.wait()
        contact = {"medium": "email", "address": "alice@example.com"}
        answer = await world.acall("POST", f"{ADMIN}/accounts/alice/contacts/verify", contact, token=token)
        await removing
        return answer

    answer = world.run(run())
    assert (answer.status_code, answer.json()["errcode"]) == (404, "M_NOT_FOUND")
    assert get(world, "/accounts/alice", token).json()["contacts"] == []


def test_devices_are_logged_out(world: World, token: str) -> None:
    (device,) = get(world, "/accounts/alice", token).json()["devices"]
    path = f"{ADMIN}/accounts/alice/devices/{device['device_id']}"
    assert world.call("DELETE", path, token=token).status_code == 200
    assert world.call("DELETE", path, token=token).status_code == 404
    assert log_in(world, PASSWORD) == 200
    assert post(world, "/accounts/alice/log_out", token).status_code == 200
    assert get(world, "/accounts/alice", token).json()["devices"] == []


def test_messages_say_why_they_did_not_arrive(world: World, token: str) -> None:
    (mail,) = get(world, "/accounts/alice/messages", token).json()["messages"]
    assert (mail["message"], mail["recipient"]) == ("confirm_address", "a***@example.com")
    world.mails()
    assert get(world, f"/messages/{quote(mail['id'])}", token).json()["state"] == "sent"
    assert post(world, f"/messages/{quote(mail['id'])}/resend", token).status_code == 403
    assert post(world, "/messages/nosuch/resend", token).status_code == 404


def test_a_person_who_is_locked_out_gets_in_again(database_url: str, tmp_path: Path) -> None:
    limits = {"all": "on", "guesses_at_account_from_client": {"burst": 3, "per_hour": 1}}
    away = {"X-Forwarded-For": "203.0.113.7"}
    with world_of_operators(database_url, tmp_path, limits=limits) as world:
        world.register()
        token = operator_token(world)
        for _ in range(3):
            assert log_in(world, "a wrong password", headers=away) == 403
        assert log_in(world, PASSWORD, headers=away) == 429
        used_up = get(world, "/accounts/alice", token).json()["used_up_limits"]
        assert [one["limit"] for one in used_up] == ["guess from 203.0.113.7 at @alice:example.org"]
        assert post(world, "/limits/clear", token, {"account": "alice"}).json()["cleared"] >= 2
        assert log_in(world, PASSWORD, headers=away) == 200


def test_the_audit_log_is_read_page_by_page(world: World, token: str) -> None:
    whole = get(world, "/audit", token).json()["entries"]
    assert [entry["event"] for entry in whole][-1] == "operator_token_created"
    first = get(world, "/audit?limit=1", token).json()
    rest = get(world, f"/audit?after={quote(first['next'])}", token).json()
    assert [*first["entries"], *rest["entries"]] == whole
    assert get(world, "/audit?after=nosuch", token).status_code == 404
