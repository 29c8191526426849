"""The seed's story: somebody proves an address, adds it, sees it, logs in with it."""

from world import PASSWORD, World


def test_a_proven_address_becomes_a_contact_and_logs_in(world: World) -> None:
    token = world.register()
    sid = world.validated(world.identity_token(token), "Alice@Example.COM")
    now = world.clock.now()
    world.clock.advance(5_000)
    assert world.add(token, sid).json() == {}
    answer = world.get("/_matrix/client/v3/account/3pid", token=token)
    assert answer.json() == {
        "threepids": [{"medium": "email", "address": "alice@example.com", "validated_at": now, "added_at": now + 5_000}]
    }
    login = world.post(
        "/_matrix/client/v3/login",
        {
            "type": "m.login.password",
            "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "ALICE@example.com"},
            "password": PASSWORD,
        },
    )
    assert login.json()["user_id"] == "@alice:example.org"


def test_the_error_says_that_the_address_is_none(world: World) -> None:
    body = {"client_secret": "s", "email": "al", "send_attempt": 1}
    answer = world.post("/_matrix/client/v3/account/3pid/email/requestToken", body, token=world.register())
    assert answer.json() == {"errcode": "M_INVALID_PARAM", "error": "This is not a valid email address."}
