"""Contacts: added with User-Interactive Authentication, removed, and what they are good for."""

from typing import Any

import pytest

from world import BASE, PASSWORD, World

ADD = "/_matrix/client/v3/account/3pid/add"
DELETE = "/_matrix/client/v3/account/3pid/delete"
REQUEST = "/_matrix/client/v3/account/3pid/email/requestToken"


def password(user: str = "alice", word: str = PASSWORD) -> dict[str, Any]:
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": word}


def proven(world: World, token: str | None, address: str = "alice@example.com", secret: str = "s") -> str:
    """A validated session of the homeserver's; the code goes to submit_url without a token."""
    request = {"client_secret": secret, "email": address, "send_attempt": 1}
    answer = world.post(REQUEST, request, token=token).json()
    assert answer["submit_url"].startswith(BASE)
    world.clock.advance(1)
    body = {"sid": answer["sid"], "client_secret": secret, "token": world.mail().code}
    assert world.post(answer["submit_url"].removeprefix(BASE), body).json() == {"success": True}
    return str(answer["sid"])


def test_an_address_is_added_after_the_password_was_given(world: World) -> None:
    token = world.register()
    sid = proven(world, token)
    body = {"sid": sid, "client_secret": "s"}
    asked = world.post(ADD, body, token=token)
    assert asked.status_code == 401
    assert asked.json()["flows"] == [{"stages": ["m.login.password"]}]
    session = asked.json()["session"]
    wrong = world.post(ADD, {**body, "auth": {**password(word="wrong"), "session": session}}, token=token)
    assert (wrong.status_code, wrong.json()["errcode"], wrong.json()["completed"]) == (401, "M_FORBIDDEN", [])
    assert world.contacts(token) == []
    right = world.post(ADD, {"auth": {**password(), "session": session}}, token=token)
    assert right.json() == {}
    assert world.contacts(token) == ["alice@example.com"]


@pytest.mark.parametrize("way", ["identifier", "user", "user ID"])
def test_the_password_stage_takes_older_forms(world: World, way: str) -> None:
    token = world.register()
    auth: dict[str, Any] = {"type": "m.login.password", "password": PASSWORD}
    if way == "identifier":
        auth["identifier"] = {"type": "m.id.user", "user": "@alice:example.org"}
    else:
        auth["user"] = "alice" if way == "user" else "@alice:example.org"
    assert world.post(ADD, {"sid": proven(world, token), "client_secret": "s", "auth": auth}, token=token).json() == {}


def test_another_users_right_password_is_refused(world: World) -> None:
    token = world.register("alice")
    world.register("bob")
    body = {"sid": proven(world, token), "client_secret": "s", "auth": password("bob")}
    answer = world.post(ADD, body, token=token)
    assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
    assert world.contacts(token) == []


def test_a_changed_request_is_refused_and_its_session_ends(world: World) -> None:
    token = world.register()
    first, second = proven(world, token), proven(world, token, "b@example.com", "t")
    session = world.post(ADD, {"sid": first, "client_secret": "s"}, token=token).json()["session"]
    changed = {"sid": second, "client_secret": "t", "auth": {**password(), "session": session}}
    assert world.post(ADD, changed, token=token).status_code == 403
    dead = {"sid": first, "client_secret": "s", "auth": {**password(), "session": session}}
    answer = world.post(ADD, dead, token=token)
    assert answer.status_code == 401
    assert answer.json()["session"] != session
    assert world.contacts(token) == []


def test_a_session_of_another_endpoint_or_user_is_refused(world: World) -> None:
    token, other = world.register("alice"), world.register("bob")
    body = {"sid": proven(world, token), "client_secret": "s"}
    session = world.post(ADD, body, token=token).json()["session"]
    deactivate = world.post(
        "/_matrix/client/v3/account/deactivate", {"auth": {**password(), "session": session}}, token=token
    )
    assert deactivate.status_code == 403
    session = world.post(ADD, body, token=token).json()["session"]
    assert world.post(ADD, {**body, "auth": {**password("bob"), "session": session}}, token=other).status_code == 403
    # On another version of the path it is the same request.
    session = world.post(ADD, body, token=token).json()["session"]
    old = ADD.replace("v3", "r0")
    assert world.post(old, {**body, "auth": {**password(), "session": session}}, token=token).json() == {}


def test_a_session_that_was_opened_without_a_token_can_be_used_by_who_has_its_secret(world: World) -> None:
    token = world.register()
    sid = proven(world, None)
    assert world.post(ADD, {"sid": sid, "client_secret": "s", "auth": password()}, token=token).json() == {}


def test_removing_takes_ones_own_address_only(world: World) -> None:
    alice, bob = world.register("alice"), world.register("bob")
    world.add(alice, world.validated(world.identity_token(alice)))
    body = {"medium": "email", "address": "ALICE@example.com"}
    assert world.post(DELETE, body, token=bob).json() == {"id_server_unbind_result": "no-support"}
    assert world.contacts(alice) == ["alice@example.com"]
    assert world.post(DELETE, body, token=alice).json() == {"id_server_unbind_result": "no-support"}
    assert world.contacts(alice) == []
    for address in ("alice@example.com", "never@example.com", "no address", ""):
        again = world.post(DELETE, {"medium": "email", "address": address}, token=alice)
        assert again.json() == {"id_server_unbind_result": "no-support"}
    login = {"type": "m.login.password", "medium": "email", "address": "alice@example.com", "password": PASSWORD}
    assert world.post("/_matrix/client/v3/login", login).status_code == 403
    # And the address is free for somebody else.
    world.clock.advance(1)
    assert world.add(bob, world.validated(world.identity_token(bob, "bob"))).status_code == 200


def test_removing_unbinds_the_address_from_our_own_identity_server(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)), bind=True)
    lookup = world.identity.lookup
    assert lookup is not None
    assert len(world.run(lookup.lookup_plain([("email", "alice@example.com")]))) == 1
    body = {"medium": "email", "address": "alice@example.com"}
    assert world.post(DELETE, body, token=token).json() == {"id_server_unbind_result": "success"}
    assert world.run(lookup.lookup_plain([("email", "alice@example.com")])) == []


def test_removing_an_address_ends_what_would_bring_it_back(world: World) -> None:
    token = world.register()
    first, second = proven(world, token, secret="one"), proven(world, token, secret="two")
    body = {"sid": first, "client_secret": "one", "auth": password()}
    assert world.post(ADD, body, token=token).json() == {}
    world.post(DELETE, {"medium": "email", "address": "alice@example.com"}, token=token)
    for sid, secret in ((first, "one"), (second, "two")):
        answer = world.post(ADD, {"sid": sid, "client_secret": secret, "auth": password()}, token=token)
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_THREEPID_AUTH_FAILED")
    assert world.contacts(token) == []


def test_where_changes_are_off_nothing_changes(database_url: str, tmp_path: Any) -> None:
    with World(database_url, tmp_path, policy__changes_allowed=False) as world:
        token = world.register()
        capabilities = world.get("/_matrix/client/v3/capabilities", token=token).json()["capabilities"]
        assert capabilities["m.3pid_changes"] == {"enabled": False}
        request = {"client_secret": "s", "email": "a@example.com", "send_attempt": 1}
        for path, body in (
            (REQUEST, request),
            (ADD, {"sid": "x", "client_secret": "s", "auth": password()}),
            (DELETE, {"medium": "email", "address": "a@example.com"}),
        ):
            answer = world.post(path, body, token=token)
            assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
        assert world.mails() == []


def test_contacts_are_read_together_with_the_access_token(world: World) -> None:
    token = world.register()
    assert world.add(token, world.validated(world.identity_token(token), "alice@example.com")).json() == {}
    before = world.server.context.database.reads
    assert world.contacts(token) == ["alice@example.com"]
    assert world.server.context.database.reads == before + 1


def test_a_notice_of_a_new_contact_goes_to_each_of_the_others(world: World) -> None:
    token = world.register()
    for name in ("one", "two", "three"):
        assert world.add(token, world.validated(world.identity_token(token), f"{name}@example.com")).json() == {}
    told = [mail.recipient for mail in world.mails() if "t***@example.com" in mail.text and "code" not in mail.text]
    assert sorted(told) == ["one@example.com", "one@example.com", "two@example.com"]
