"""The identity server of a threepid whose rooms, OpenID tokens and keys are those of the Synapse beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from signedjson.key import generate_signing_key
from signedjson.sign import sign_json
from unpaddedbase64 import encode_base64

from beside import Beside, beside_a_synapse
from fake_synapse import SECRET, Called
from threepid.spec.signing import SignedRequest, Signer

USERINFO = "/_matrix/federation/v1/openid/userinfo"
ON_BIND = "/_matrix/federation/v1/3pid/onbind"
KEYS = "/_matrix/key/v2/server"
I2 = "/_matrix/identity/v2"
OURS = "matrix.example.org"
GUEST = "guest@example.net"
OPENID = {"token_type": "Bearer", "matrix_server_name": "example.org", "expires_in": 3600}


@pytest.fixture
def beside(database_url: str, tmp_path: Path) -> Iterator[Beside]:
    with beside_a_synapse(database_url, tmp_path) as made:
        made.synapse.replies[USERINFO] = lambda called: (200, {"sub": f"@{called.body['access_token']}:example.org"})
        made.synapse.replies[ON_BIND] = lambda called: (200, {}) if called.method == "POST" else (405, {})
        yield made


def sign_in(beside: Beside, localpart: str = "alice") -> str:
    """A token of the identity server for an OpenID token of the Synapse's."""
    answer = beside.world.post(f"{I2}/account/register", {**OPENID, "access_token": localpart})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def bind(beside: Beside, token: str, mxid: str) -> None:
    beside.world.clock.advance(1)
    sid = beside.world.validated(token, GUEST)
    answer = beside.world.post(f"{I2}/3pid/bind", {"sid": sid, "client_secret": "secret", "mxid": mxid}, token=token)
    assert answer.status_code == 200, answer.text


def calls(beside: Beside, name: str) -> list[Called]:
    return [called for called in beside.synapse.calls if called.name == name]


def test_an_openid_token_of_the_homeserver_signs_in_and_one_of_ours_does_not(beside: Beside) -> None:
    account = beside.world.get(f"{I2}/account", token=sign_in(beside))
    assert account.json() == {"user_id": "@alice:example.org"}
    path = "/_matrix/client/v3/user/@bob:example.org/openid/request_token"
    ours = beside.world.post(path, token=beside.world.register("bob")).json()
    beside.synapse.replies[USERINFO] = (401, {"errcode": "M_UNKNOWN_TOKEN", "error": "unknown"})
    answer = beside.world.post(f"{I2}/account/register", ours)
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNAUTHORIZED")


def test_the_homeserver_does_not_see_our_secret_when_it_is_asked_as_any_other(beside: Beside) -> None:
    sign_in(beside)
    (called,) = calls(beside, USERINFO)
    assert SECRET not in str(called.headers)


def test_a_homeserver_that_is_away_is_named_as_the_cause(beside: Beside) -> None:
    beside.synapse.stop()
    answer = beside.world.post(f"{I2}/account/register", {**OPENID, "access_token": "alice"})
    assert (answer.status_code, answer.json()["error"]) == (502, "The homeserver is unreachable.")


def test_an_invitation_of_one_of_our_users_reaches_the_homeserver_that_has_the_room(beside: Beside) -> None:
    body: dict[str, Any] = {
        "medium": "email", "address": GUEST, "room_id": "!garden:example.org", "sender": "@alice:example.org",
    }  # fmt: skip
    stored = beside.world.post(f"{I2}/store-invite", body, token=sign_in(beside))
    assert stored.status_code == 200, stored.text
    bind(beside, sign_in(beside, "guest"), "@guest:example.org")
    beside.deliver()
    put, post = calls(beside, ON_BIND)
    assert (put.method, post.method) == ("PUT", "POST")
    (told,) = post.body["invites"]
    assert (told["mxid"], told["signed"]["token"]) == ("@guest:example.org", stored.json()["token"])


def test_the_homeserver_unbinds_with_its_own_key(beside: Beside) -> None:
    key = generate_signing_key("synapse")
    published = {
        "server_name": "example.org",
        "valid_until_ts": beside.world.clock.now() + 3_600_000,
        "verify_keys": {"ed25519:synapse": {"key": encode_base64(bytes(key.verify_key))}},
        "old_verify_keys": {},
    }
    beside.synapse.replies[KEYS] = (200, sign_json(published, "example.org", key))
    token = sign_in(beside, "guest")
    bind(beside, token, "@guest:example.org")
    body = {"mxid": "@guest:example.org", "threepid": {"medium": "email", "address": GUEST}}
    signed = SignedRequest("POST", f"{I2}/3pid/unbind", body)

    def unbind(signer: Signer) -> int:
        headers = {"Authorization": signer.authorization(signed, OURS, member="destination_is")}
        return beside.world.post(f"{I2}/3pid/unbind", body, headers=headers).status_code

    assert unbind(beside.world.server.services.keyring.signer("example.org")) == 403
    assert beside.world.look_up(token, GUEST) == "@guest:example.org"
    assert unbind(Signer("example.org", key)) == 200
    assert beside.world.look_up(token, GUEST) is None
