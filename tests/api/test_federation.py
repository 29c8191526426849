"""What other servers ask of the homeserver: its keys, and to take note of bound addresses."""

from pathlib import Path
from typing import Any

import pytest
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import SignatureVerifyException, verify_signed_json
from unpaddedbase64 import decode_base64

from threepid.clock import DAY, HOUR
from threepid.domain.secrets.keys import rotate_keyring
from world import SeededEntropy, World

KEYS = "/_matrix/key/v2/server"
ON_BIND = "/_matrix/federation/v1/3pid/onbind"


def verified_by(document: dict[str, Any], key_id: str, key: str) -> bool:
    verify_key = decode_verify_key_bytes(key_id, decode_base64(key))
    try:
        verify_signed_json(document, "example.org", verify_key)
    except SignatureVerifyException:
        return False
    return True


@pytest.mark.parametrize("path", [KEYS, f"{KEYS}/", f"{KEYS}/ed25519:0", f"{KEYS}/ed25519:unknown"])
def test_our_keys_are_published_signed_by_themselves_and_for_a_day(world: World, path: str) -> None:
    answer = world.get(path)
    assert answer.status_code == 200
    document = answer.json()
    assert set(document) == {"server_name", "verify_keys", "old_verify_keys", "valid_until_ts", "signatures"}
    assert (document["server_name"], document["old_verify_keys"]) == ("example.org", {})
    assert document["valid_until_ts"] == world.clock.now() + DAY
    ((key_id, entry),) = document["verify_keys"].items()
    assert key_id == "ed25519:0"
    assert entry == {"key": world.get("/_matrix/identity/v2/pubkey/ed25519:0").json()["public_key"]}
    assert verified_by(document, key_id, entry["key"])
    assert not verified_by({**document, "valid_until_ts": document["valid_until_ts"] + 1}, key_id, entry["key"])
    world.clock.advance(HOUR)
    assert world.get(path).json()["valid_until_ts"] == document["valid_until_ts"] + HOUR


def test_a_retired_key_is_published_with_the_end_of_its_time(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as old:
        first = old.get(KEYS).json()["verify_keys"]["ed25519:0"]["key"]
        retired_at = old.clock.now()
        rotate_keyring(tmp_path / "keys", SeededEntropy("next"), old.clock)
        old.clock.advance(HOUR)
        with old.again() as new:
            document = new.get(KEYS).json()
    assert document["old_verify_keys"] == {"ed25519:0": {"key": first, "expired_ts": retired_at}}
    ((key_id, entry),) = document["verify_keys"].items()
    assert key_id == "ed25519:1"
    assert entry["key"] != first
    assert verified_by(document, key_id, entry["key"])
    assert list(document["signatures"]["example.org"]) == ["ed25519:1"]


def test_an_identity_server_alone_is_no_homeserver(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts=None) as world:
        for method, path in (("GET", KEYS), ("PUT", ON_BIND)):
            answer = world.call(method, path, {} if method == "PUT" else None)
            assert (answer.status_code, answer.json()["errcode"]) == (404, "M_UNRECOGNIZED")


INVITATION = {
    "medium": "email",
    "address": "alice@example.com",
    "mxid": "@alice:example.org",
    "room_id": "!somewhere:example.org",
    "sender": "@bob:example.org",
    "signed": {
        "mxid": "@alice:example.org",
        "token": "Hello World",
        "signatures": {"id.example": {"ed25519:0": "SomeSignatureGoesHere"}},
    },
}
BODY = {"medium": "email", "address": "alice@example.com", "mxid": "@alice:example.org", "invites": [INVITATION]}


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_bound_address_is_taken_note_of(world: World, method: str) -> None:
    for body in (BODY, {**BODY, "invites": []}, {**BODY, "invites": [INVITATION] * 300}, {**BODY, "more": 1}):
        answer = world.call(method, ON_BIND, body)
        assert (answer.status_code, answer.json()) == (200, {})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**BODY, "mxid": "alice"},
        {**BODY, "invites": {}},
        {**BODY, "invites": [1]},
        {**BODY, "invites": [{**INVITATION, "signed": {}}]},
        {**BODY, "invites": [{**INVITATION, "room_id": 1}]},
        {name: value for name, value in BODY.items() if name != "invites"},
    ],
)
def test_what_is_no_bound_address_is_refused(world: World, body: dict[str, Any]) -> None:
    answer = world.call("PUT", ON_BIND, body)
    assert answer.status_code == 400
    assert answer.json()["errcode"] in {"M_BAD_JSON", "M_INVALID_PARAM", "M_MISSING_PARAM"}


USERINFO = "/_matrix/federation/v1/openid/userinfo"


def refusal(world: World, query: str = "") -> tuple[int, str]:
    answer = world.get(USERINFO + query)
    return answer.status_code, answer.json()["errcode"]


def test_openid_userinfo_names_the_user_of_a_token(world: World) -> None:
    path = "/_matrix/client/v3/user/@alice:example.org/openid/request_token"
    openid = world.post(path, token=world.register()).json()
    assert world.get(f"{USERINFO}?access_token={openid['access_token']}").json() == {"sub": "@alice:example.org"}
    world.clock.advance(openid["expires_in"] * 1000)
    assert refusal(world, f"?access_token={openid['access_token']}") == (401, "M_UNKNOWN_TOKEN")


@pytest.mark.parametrize("query", ["", "?", "?access_token=", "?token=x", "?access_token"])
def test_openid_userinfo_without_a_token_says_so(world: World, query: str) -> None:
    assert refusal(world, query) == (401, "M_MISSING_TOKEN")


def test_openid_userinfo_knows_no_other_tokens(world: World) -> None:
    token = world.register()
    for wrong in ("nosuch", token, world.identity_token(token), "x" * 4000, "%F0%9F%98%80", "null"):
        assert refusal(world, f"?access_token={wrong}") == (401, "M_UNKNOWN_TOKEN")
