"""A32: one success for each authentication session, in order, whole, and not too many of them."""

from pathlib import Path
from typing import Any

import pytest

from threepid.storage.engine.queries import Query
from world import PASSWORD, World, unnoted

C = "/_matrix/client/v3"
TERMS = {"id": "rules", "version": "1", "languages": {"en": {"name": "Rules", "url": "https://example.org/rules"}}}
STAGE = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}


def rows(world: World, table: str) -> int:
    statement = f"SELECT COUNT(*) FROM {table}"
    return int(world.run(world.server.context.database.read(lambda tx: tx.value(Query("test", statement, statement)))))


def test_a_finished_session_is_finished(world: World) -> None:
    alice = world.register()
    body: dict[str, Any] = {"new_password": "another password", "logout_devices": False}
    session = world.post(f"{C}/account/password", body, token=alice).json()["session"]
    auth = {**STAGE, "session": session}
    assert world.post(f"{C}/account/password", {**body, "auth": auth}, token=alice).status_code == 200
    replayed = world.post(f"{C}/account/password", {**body, "auth": auth}, token=alice)
    assert replayed.status_code == 401
    assert replayed.json()["session"] != session


def test_fifty_finals_at_once_have_one_effect(world: World) -> None:
    alice = world.register()
    session = world.post(f"{C}/login/get_token".replace("v3", "v1"), {}, token=alice).json()["session"]
    body = {"auth": {**STAGE, "session": session}}
    path = "/_matrix/client/v1/login/get_token"
    answers = world.together(*(lambda: world.acall("POST", path, body, token=alice) for _ in range(50)))
    assert sum(answer.status_code == 200 for answer in answers) == 1
    assert {answer.status_code for answer in answers} <= {200, 401, 403, 429}
    assert rows(world, "login_tokens") == 1


@pytest.mark.parametrize("kind", ["m.login.dummy", "m.login.terms", "m.login.recaptcha", "m.login.sso", "x", ""])
def test_a_stage_that_is_not_offered_completes_nothing(world: World, kind: str) -> None:
    alice = world.register()
    body = {"devices": ["X"]}
    for session in (None, world.post(f"{C}/delete_devices", body, token=alice).json()["session"]):
        auth = {"type": kind} if session is None else {"type": kind, "session": session}
        answer = world.post(f"{C}/delete_devices", {**body, "auth": auth}, token=alice)
        assert answer.status_code == 401
        assert answer.json()["errcode"] == "M_UNRECOGNIZED"
        assert answer.json()["completed"] == []


def test_stages_keep_their_order_and_none_is_skipped(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__terms=[TERMS], accounts__registration="token", email=None) as world:
        token = world.run(world.homeserver.registration_tokens.create(note=unnoted))
        body = {"username": "alice", "password": "long enough"}
        answer = world.post(f"{C}/register", body).json()
        order = ["m.login.registration_token", "m.login.terms", "m.login.dummy"]
        assert answer["flows"] == [{"stages": order}]
        stages = {stage: {"type": stage, "session": answer["session"]} for stage in order}
        stages["m.login.registration_token"]["token"] = token
        for done, stage in enumerate(order):
            for later in order[done + 1 :]:
                early = world.post(f"{C}/register", {**body, "auth": stages[later]})
                assert (early.status_code, early.json()["errcode"]) == (401, "M_UNRECOGNIZED")
                assert early.json()["completed"] == order[:done]
            last = world.post(f"{C}/register", {**body, "auth": stages[stage]})
        assert last.status_code == 200


def test_a_token_without_uses_left_registers_nobody_however_many_try_at_once(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__registration="token", email=None) as world:
        token = world.run(world.homeserver.registration_tokens.create(uses_allowed=2, note=unnoted))
        sessions = []
        for number in range(6):
            body = {"username": f"u{number}", "password": "long enough"}
            session = world.post(f"{C}/register", body).json()["session"]
            auth = {"type": "m.login.registration_token", "token": token, "session": session}
            # Each of them was told that the token is good: nobody has used it up yet.
            assert world.post(f"{C}/register", {**body, "auth": auth}).json()["completed"] == [auth["type"]]
            sessions.append({**body, "auth": {"type": "m.login.dummy", "session": session}})
        answers = world.together(*(lambda one=one: world.acall("POST", f"{C}/register", one) for one in sessions))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 403, 403, 403, 403]
        assert rows(world, "accounts") == 2


def test_sessions_end_by_idleness_and_by_age(world: World) -> None:
    alice = world.register()
    body = {"devices": ["X"]}
    session = world.post(f"{C}/delete_devices", body, token=alice).json()["session"]
    world.clock.advance(15 * 60_000 - 1)
    auth = {"session": session}
    assert world.post(f"{C}/delete_devices", {**body, "auth": auth}, token=alice).json()["session"] == session
    world.clock.advance(1)
    assert world.post(f"{C}/delete_devices", {**body, "auth": auth}, token=alice).json()["session"] != session


def test_one_caller_begins_so_many_and_the_rows_go_away(database_url: str, tmp_path: Path) -> None:
    limit = {"burst": 20, "per_hour": 1}
    with World(database_url, tmp_path, limits={"all": "on", "authentication_from_client": limit}) as world:
        answers = [world.post(f"{C}/register", {"username": f"u{number}"}).status_code for number in range(60)]
        assert answers == [401] * 20 + [429] * 40
        assert rows(world, "uia_sessions") == 20
        world.clock.advance(15 * 60_000)
        from threepid import background

        world.run(background.run_once(world.server.context))
        assert rows(world, "uia_sessions") == 0


def test_a_session_goes_on_after_a_restart_and_in_another_process(database_url: str, tmp_path: Path) -> None:
    body = {"username": "alice", "password": "long enough"}
    with World(database_url, tmp_path, accounts__terms=[TERMS], email=None) as world:
        session = world.post(f"{C}/register", body).json()["session"]
        auth = {"type": "m.login.terms", "session": session}
        assert world.post(f"{C}/register", {**body, "auth": auth}).json()["completed"] == ["m.login.terms"]
    with World(database_url, tmp_path, seed="again", accounts__terms=[TERMS], email=None) as world:
        auth = {"type": "m.login.dummy", "session": session}
        assert world.post(f"{C}/register", {"auth": auth}).json()["user_id"] == "@alice:example.org"


def test_wrong_passwords_in_stages_are_limited_like_logins(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, limits__all="on") as world:
        alice = world.register()
        body = {"devices": ["X"]}
        wrong = {**body, "auth": {**STAGE, "password": "wrong"}}
        answers = [world.post(f"{C}/delete_devices", wrong, token=alice).status_code for _ in range(12)]
        assert answers == [401] * 10 + [429] * 2
        right = {**body, "auth": STAGE}
        assert world.post(f"{C}/delete_devices", right, token=alice).status_code == 429
        # The devices of an account have a count of their own, and logins have another.
        assert world.post(f"{C}/login", STAGE).status_code == 200
        world.clock.advance(60_000)
        assert world.post(f"{C}/delete_devices", right, token=alice).status_code == 200


def test_a_stage_that_lacks_its_password_is_no_guess(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, limits__all="on") as world:
        alice = world.register()
        body = {"devices": ["X"]}
        session = world.post(f"{C}/delete_devices", body, token=alice).json()["session"]
        lacking = {name: value for name, value in STAGE.items() if name != "password"}
        for _ in range(12):
            auth = {**lacking, "session": session}
            answer = world.post(f"{C}/delete_devices", {**body, "auth": auth}, token=alice)
            assert (answer.status_code, answer.json()["errcode"]) == (401, "M_MISSING_PARAM")
            assert answer.json()["session"] == session
        assert world.hasher.compared == 0
        right = {**body, "auth": {**STAGE, "session": session}}
        assert world.post(f"{C}/delete_devices", right, token=alice).status_code == 200
