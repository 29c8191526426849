"""A08: a session has one effect; the same request again is answered alike and has none."""

from typing import Any

from threepid.storage import threepids
from world import World


def remove(world: World, user_id: str, address: str) -> None:
    write = world.server.context.database.write
    assert world.run(write(lambda tx: threepids.delete(tx, user_id, "email", address)))


def test_the_identical_request_again_answers_200_and_changes_nothing(world: World) -> None:
    token = world.register()
    sid = world.validated(world.identity_token(token))
    assert world.add(token, sid).status_code == 200
    before = world.get("/_matrix/client/v3/account/3pid", token=token).text
    world.clock.advance(1000)
    assert world.add(token, sid).status_code == 200
    assert world.get("/_matrix/client/v3/account/3pid", token=token).text == before


def test_after_the_address_was_removed_the_old_session_does_not_bring_it_back(world: World) -> None:
    token = world.register()
    sid = world.validated(world.identity_token(token))
    world.add(token, sid)
    remove(world, "@alice:example.org", "alice@example.com")
    answer = world.add(token, sid)
    assert (answer.status_code, answer.json()["errcode"]) == (403, "M_THREEPID_AUTH_FAILED")
    assert world.contacts(token) == []


def test_a_session_that_was_bound_cannot_be_added_too(world: World) -> None:
    token = world.register()
    identity = world.identity_token(token)
    sid = world.validated(identity)
    bind = {"sid": sid, "client_secret": "secret", "mxid": "@alice:example.org"}
    first = world.post("/_matrix/identity/v2/3pid/bind", bind, token=identity)
    assert first.status_code == 200
    again = world.post("/_matrix/identity/v2/3pid/bind", bind, token=identity)
    assert again.json() == first.json()
    assert world.add(token, sid).status_code == 403


def test_fifty_consumers_at_once_have_one_effect(world: World) -> None:
    token = world.register()
    sid = world.validated(world.identity_token(token))
    body: dict[str, Any] = {
        "three_pid_creds": {"sid": sid, "client_secret": "secret", "id_server": "matrix.example.org"}
    }
    path = "/_matrix/client/v3/account/3pid"
    answers = world.together(*(lambda: world.acall("POST", path, body, token=token) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert world.contacts(token) == ["alice@example.com"]


def test_one_proof_makes_one_account(world: World) -> None:
    sid = world.post(
        "/_matrix/client/v3/register/email/requestToken",
        {"client_secret": "s", "email": "alice@example.com", "send_attempt": 1},
    ).json()["sid"]
    world.post(world.mail().link)
    auth = {"type": "m.login.email.identity", "threepid_creds": {"sid": sid, "client_secret": "s"}}

    def register(username: str) -> Any:
        body = {"username": username, "password": "long enough", "auth": auth}
        return lambda: world.acall("POST", "/_matrix/client/v3/register", body)

    answers = world.together(*(register(f"user{number}") for number in range(8)))
    assert min(answer.status_code for answer in answers) == 200
    assert sum(answer.status_code == 200 for answer in answers) == 1


def test_repeating_a_finished_registration_gives_the_same_user_and_a_changed_one_is_refused(world: World) -> None:
    path = "/_matrix/client/v3/register"
    body = {"username": "alice", "password": "long enough"}
    session = world.post(path, body).json()["session"]
    auth = {"type": "m.login.dummy", "session": session}
    first = world.post(path, {**body, "auth": auth})
    again = world.post(path, {**body, "auth": auth})
    only_auth = world.post(path, {"auth": {"session": session}})
    assert first.status_code == again.status_code == only_auth.status_code == 200
    assert first.json()["user_id"] == again.json()["user_id"] == only_auth.json()["user_id"] == "@alice:example.org"
    changed = world.post(path, {**body, "password": "another one", "auth": auth})
    assert (changed.status_code, changed.json()["errcode"]) == (403, "M_FORBIDDEN")
