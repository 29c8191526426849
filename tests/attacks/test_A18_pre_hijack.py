"""A18: an address that was not proven belongs to nobody and stands in nobody's way."""

from world import World


def test_an_unproven_address_is_no_contact_and_logs_nobody_in(world: World) -> None:
    token = world.register("mallory")
    sid = world.request_token(world.identity_token(token, "mallory"), "victim@example.com")
    assert world.add(token, sid).json()["errcode"] == "M_THREEPID_AUTH_FAILED"
    assert world.contacts(token) == []
    login = {"type": "m.login.password", "medium": "email", "address": "victim@example.com", "password": "x"}
    assert world.post("/_matrix/client/v3/login", login).status_code == 403


def test_leftovers_of_an_attacker_do_not_hinder_or_touch_the_owner(world: World) -> None:
    mallory = world.register("mallory")
    leftover = world.request_token(world.identity_token(mallory, "mallory"), "victim@example.com", secret="m")
    request = {"client_secret": "x", "email": "victim@example.com", "send_attempt": 1}
    open_registration = world.post("/_matrix/client/v3/register/email/requestToken", request).json()["sid"]
    victim = world.register("victim")
    identity = world.identity_token(victim, "victim")
    world.clock.advance(1)
    assert world.add(victim, world.validated(identity, "victim@example.com")).status_code == 200
    for sid, secret in ((leftover, "m"), (open_registration, "x")):
        assert world.add(mallory, sid, secret=secret).status_code == 403
    assert world.contacts(victim) == ["victim@example.com"]
    assert world.contacts(mallory) == []
