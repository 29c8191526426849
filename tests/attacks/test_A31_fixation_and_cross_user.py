"""A31: session ids are made here; what one user completes helps nobody else."""

from typing import Any

from world import BASE, PASSWORD, World

C = "/_matrix/client/v3"
BODY = {"devices": ["X"]}


def stage(user: str, word: str = PASSWORD, **more: Any) -> dict[str, Any]:
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": word, **more}


def test_a_session_id_of_the_clients_own_is_not_taken(world: World) -> None:
    alice = world.register()
    for invented in ("mine", "x" * 32, "", "../../etc", "é"):
        answer = world.post(f"{C}/delete_devices", {**BODY, "auth": stage("alice", session=invented)}, token=alice)
        assert answer.status_code == 401
        assert answer.json()["session"] != invented
        assert answer.json()["errcode"] == "M_FORBIDDEN"


def test_another_users_right_password_is_refused(world: World) -> None:
    alice = world.register()
    world.register("bob", "bobs own password")
    bobs = stage("bob", "bobs own password")
    in_one = world.post(f"{C}/delete_devices", {**BODY, "auth": bobs}, token=alice)
    assert (in_one.status_code, in_one.json()["errcode"]) == (403, "M_FORBIDDEN")
    session = world.post(f"{C}/delete_devices", BODY, token=alice).json()["session"]
    answer = world.post(f"{C}/delete_devices", {**BODY, "auth": {**bobs, "session": session}}, token=alice)
    assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")


def test_bob_cannot_complete_alices_session(world: World) -> None:
    alice = world.register()
    bob = world.register("bob", "bobs own password")
    session = world.post(f"{C}/delete_devices", BODY, token=alice).json()["session"]
    bobs = stage("bob", "bobs own password", session=session)
    assert world.post(f"{C}/delete_devices", {**BODY, "auth": bobs}, token=bob).status_code == 403
    # His try has ended the session: nothing of it helps or harms her.
    answer = world.post(f"{C}/delete_devices", {**BODY, "auth": {"session": session}}, token=alice)
    assert answer.status_code == 401
    assert not answer.json()["completed"]


def validated(world: World, path: str, address: str, secret: str = "s") -> dict[str, str]:
    answer = world.post(f"{C}/{path}", {"client_secret": secret, "email": address, "send_attempt": 1}).json()
    body = {"sid": answer["sid"], "client_secret": secret, "token": world.mail().code}
    assert world.post(answer["submit_url"].removeprefix(BASE), body).status_code == 200
    world.clock.advance(1)
    return {"sid": answer["sid"], "client_secret": secret}


def test_a_reset_by_ones_own_address_changes_ones_own_password_only(world: World) -> None:
    alice, bob = world.register(), world.register("bob", "bobs own password")
    world.add(alice, world.validated(world.identity_token(alice)))
    world.clock.advance(1)
    world.add(bob, world.validated(world.identity_token(bob, "bob"), "bob@example.com", secret="b"), secret="b")
    world.clock.advance(1)
    creds = validated(world, "account/password/email/requestToken", "bob@example.com")
    auth = {"type": "m.login.email.identity", "threepid_creds": creds}
    # With Alice's token the request is about Alice, and Bob's address does not show that it is she.
    answer = world.post(f"{C}/account/password", {"new_password": "xxxxxxxx", "auth": auth}, token=alice)
    assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
    assert world.post(f"{C}/login", stage("alice")).status_code == 200
    assert world.post(f"{C}/login", stage("bob", "bobs own password")).status_code == 200


def test_an_address_that_is_somebodys_makes_no_second_account(world: World) -> None:
    alice = world.register()
    world.add(alice, world.validated(world.identity_token(alice)))
    world.clock.advance(1)
    request = {"client_secret": "s", "email": "alice@example.com", "send_attempt": 1}
    sid = world.post(f"{C}/register/email/requestToken", request).json()["sid"]
    # Her mailbox was told, and got no code: the session stays unproven.
    assert "already" in world.mail().text
    auth = {"type": "m.login.email.identity", "threepid_creds": {"sid": sid, "client_secret": "s"}}
    answer = world.post(f"{C}/register", {"username": "mallory", "password": "xxxxxxxx", "auth": auth})
    assert answer.status_code == 401
    assert world.get(f"{C}/register/available?username=mallory").status_code == 200
