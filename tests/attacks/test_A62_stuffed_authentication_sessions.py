"""A62: authentication sessions are small, few for a device, and forgotten without holding anybody up."""

import json
from pathlib import Path
from typing import Any

import pytest

from threepid import background
from threepid.storage.engine.queries import Query
from world import PASSWORD, World

C = "/_matrix/client/v3"
STAGE = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
STUFFING = {f"unknown{number}": "x" * 1000 for number in range(60)}


def value(world: World, statement: str) -> int:
    query = Query("test", statement, statement)
    return int(world.run(world.server.context.database.read(lambda tx: tx.value(query))))


def kept(world: World) -> int:
    return value(world, "SELECT COALESCE(MAX(LENGTH(request)), 0) FROM uia_sessions")


def sessions(world: World) -> int:
    return value(world, "SELECT COUNT(*) FROM uia_sessions")


@pytest.mark.parametrize(
    ("path", "body"),
    [("register", {"username": "bob", "password": PASSWORD}), ("account/password", {"new_password": PASSWORD})],
)
def test_what_means_nothing_is_not_kept(world: World, path: str, body: dict[str, Any]) -> None:
    assert world.post(f"{C}/{path}", {**body, **STUFFING}).status_code == 401
    assert 0 < kept(world) < 300


@pytest.mark.parametrize(("length", "status"), [(3800, 401), (4100, 413), (60_000, 413)])
def test_without_a_token_at_most_4_kb_are_kept(world: World, length: int, status: int) -> None:
    # The known fields that may be long, and are looked at only at the end.
    body = {"username": "bob", "password": PASSWORD, "device_id": "D", "initial_device_display_name": ""}
    room = length - len(json.dumps(body, separators=(",", ":")))
    for name in ("initial_device_display_name", "device_id", "password", "username"):
        answer = world.post(f"{C}/register", {**body, name: str(body[name]) + "x" * room})
        # Most fields have a limit of their own, which comes first.
        assert answer.status_code in (status, 400), answer.text
        if answer.status_code == 413:
            assert answer.json()["errcode"] == "M_TOO_LARGE"
    assert kept(world) < 4200


def test_without_a_token_a_long_request_keeps_nothing(world: World) -> None:
    body = {"id_server": "x" * 100, "new_password": "p" * 512, "logout_devices": False}
    assert world.post(f"{C}/account/password", body).status_code == 401
    long = {"new_password": "\N{FACE WITH TEARS OF JOY}" * 512, "logout_devices": True}
    assert world.post(f"{C}/account/password", long).status_code in (401, 413)
    assert kept(world) < 4200


def test_what_is_filled_in_is_no_larger(world: World) -> None:
    session = world.post(f"{C}/register", {}).json()["session"]
    body = {"username": "bob", "password": PASSWORD, **STUFFING, "auth": {"session": session}}
    assert world.post(f"{C}/register", body).json()["session"] == session
    assert kept(world) < 300


def test_with_a_token_the_known_fields_are_kept_whole(world: World) -> None:
    token = world.register()
    devices = [f"{number:0200}" for number in range(250)]
    answer = world.post(f"{C}/delete_devices", {"devices": devices, "x": "y" * 5000}, token=token)
    assert answer.status_code == 401
    assert 50_000 < kept(world) < 54_000
    auth = {**STAGE, "session": answer.json()["session"]}
    assert world.post(f"{C}/delete_devices", {"auth": auth}, token=token).status_code == 200


def test_a_request_that_is_not_repeated_is_the_same_one_with_unknown_fields_too(world: World) -> None:
    token = world.register()
    body = {"new_password": "another good one", "unknown": "field"}
    for again in (body, {}):
        session = world.post(f"{C}/account/password", body, token=token).json()["session"]
        stage = {**STAGE, "password": "another good one" if again == {} else PASSWORD, "session": session}
        assert world.post(f"{C}/account/password", {**again, "auth": stage}, token=token).status_code == 200


@pytest.mark.parametrize("changed", [{"unknown": "other"}, {"another": 1}, {"unknown": "field", "another": 1}])
def test_a_changed_unknown_field_is_a_changed_request(world: World, changed: dict[str, Any]) -> None:
    token = world.register()
    known = {"new_password": "another good one"}
    session = world.post(f"{C}/account/password", {**known, "unknown": "field"}, token=token).json()["session"]
    auth = {**STAGE, "session": session}
    answer = world.post(f"{C}/account/password", {**known, **changed, "auth": auth}, token=token)
    assert answer.status_code == 403
    again = world.post(f"{C}/account/password", {**known, "unknown": "field", "auth": auth}, token=token)
    assert again.json()["session"] != session


def test_a_device_has_at_most_20_open_sessions(world: World) -> None:
    alice, bob = world.register(), world.register("bob")
    other = world.post(f"{C}/login", STAGE).json()["access_token"]
    begun = []
    for number in range(30):
        world.clock.advance(1)
        body = {"devices": [f"D{number}"]}
        begun.append((body, world.post(f"{C}/delete_devices", body, token=alice).json()["session"]))
    assert sessions(world) == 20
    for token in (bob, other):
        assert world.post(f"{C}/delete_devices", {"devices": []}, token=token).status_code == 401
    assert sessions(world) == 22

    def lives(one: tuple[dict[str, Any], str]) -> bool:
        body, session = one
        auth = {"session": session}
        return bool(world.post(f"{C}/delete_devices", {**body, "auth": auth}, token=alice).json()["session"] == session)

    # The oldest have ended; asking for one of them begins another, so the newest are looked at first.
    assert [lives(one) for one in begun[10:]] == [True] * 20
    assert not lives(begun[9])


def test_sessions_begun_at_once_are_counted_too(world: World) -> None:
    alice = world.register()
    work = (lambda: world.acall("POST", f"{C}/delete_devices", {"devices": []}, token=alice) for _ in range(40))
    assert {answer.status_code for answer in world.together(*work)} == {401}
    assert sessions(world) == 20


def test_used_sessions_do_not_count_and_are_forgotten(world: World) -> None:
    alice = world.register()
    for _ in range(22):
        body = {"devices": ["X"]}
        session = world.post(f"{C}/delete_devices", body, token=alice).json()["session"]
        auth = {**STAGE, "session": session}
        assert world.post(f"{C}/delete_devices", {**body, "auth": auth}, token=alice).status_code == 200
    assert sessions(world) == 22
    world.clock.advance(15 * 60_000)
    world.run(background.run_once(world.server.context))
    assert sessions(world) == 0


def test_a_finished_registration_is_remembered_for_its_repeat(world: World) -> None:
    body = {"username": "bob", "password": PASSWORD}
    session = world.post(f"{C}/register", body).json()["session"]
    auth = {"type": "m.login.dummy", "session": session}
    assert world.post(f"{C}/register", {**body, "auth": auth}).status_code == 200
    world.clock.advance(10 * 60_000)
    world.run(background.run_once(world.server.context))
    assert sessions(world) == 1


def test_forgetting_goes_in_small_batches(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        database = world.server.context.database
        insert = """
            INSERT INTO uia_sessions (id_hash, operation, subject, request_mac, request, flows, consumer, completed,
                created_at, used_at, expires_at) VALUES (:id, 'register', '', :id, :id, '[]', 'REGISTER_STAGE', '{}', 0, 0, 0)
        """
        query = Query("test", insert, insert.replace(":id", "%(id)s"))

        def fill(tx: Any) -> None:
            for number in range(background.BATCH * 3 + 7):
                tx.run(query, id=number.to_bytes(4))

        world.run(database.write_aside(fill))
        commits = database.commits
        assert world.run(background.run_once(world.server.context)) == background.BATCH * 3 + 7
        assert sessions(world) == 0
        assert database.commits - commits >= 4


def test_an_account_has_at_most_100_open_sessions_over_all_its_devices(world: World) -> None:
    world.register()
    first = None
    for _ in range(7):
        token = str(world.post(f"{C}/login", STAGE).json()["access_token"])
        for _ in range(19):
            answer = world.post(f"{C}/delete_devices", {"devices": ["X"]}, token=token)
            first = first or (token, answer.json()["session"])
            world.clock.advance(1)
    assert sessions(world) == 100
    assert first is not None
    again = {"devices": ["X"], "auth": {"session": first[1]}}
    assert world.post(f"{C}/delete_devices", again, token=first[0]).json()["errcode"] == "M_FORBIDDEN"
