"""A102: beside a Synapse, two servers have one name. What one of them says or signs must not count as the other's word."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from signedjson.key import generate_signing_key
from signedjson.sign import sign_json
from unpaddedbase64 import encode_base64

from beside import GUEST, I2, USERINFO, V3, Beside, beside_a_synapse
from fake_synapse import SECRET
from threepid.spec.signing import SignedRequest, Signer

KEYS = "/_matrix/key/v2/server"
OURS = "matrix.example.org"


@pytest.fixture
def beside(database_url: str, tmp_path: Path) -> Iterator[Beside]:
    with beside_a_synapse(database_url, tmp_path) as made:
        yield made


def test_only_the_homeserver_says_whose_an_openid_token_is(beside: Beside) -> None:
    ours = beside.world.post(
        f"{V3}/user/@bob:example.org/openid/request_token", token=beside.world.register("bob")
    ).json()
    beside.synapse.replies[USERINFO] = (401, {"errcode": "M_UNKNOWN_TOKEN", "error": "unknown"})
    answer = beside.world.post(f"{I2}/account/register", ours)
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNAUTHORIZED")


def test_the_homeserver_speaks_for_no_users_of_other_servers(beside: Beside) -> None:
    for user_id in ("@alice:elsewhere.example", "@alice:example.org:443", "alice", ""):
        beside.synapse.replies[USERINFO] = (200, {"sub": user_id})
        assert beside.register_identity("token").status_code == 502


def test_the_homeserver_is_asked_without_the_secret(beside: Beside) -> None:
    beside.identity_token()
    (called,) = beside.calls(USERINFO)
    assert SECRET not in f"{called.headers} {called.target} {called.raw!r}"


def test_the_homeservers_key_unbinds_and_ours_does_not(beside: Beside) -> None:
    key = generate_signing_key("synapse")
    published = {
        "server_name": "example.org",
        "valid_until_ts": beside.world.clock.now() + 3_600_000,
        "verify_keys": {"ed25519:synapse": {"key": encode_base64(bytes(key.verify_key))}},
        "old_verify_keys": {},
    }
    beside.synapse.replies[KEYS] = (200, sign_json(published, "example.org", key))
    token = beside.identity_token("guest")
    beside.bind(token, "guest")
    body = {"mxid": "@guest:example.org", "threepid": {"medium": "email", "address": GUEST}}
    signed = SignedRequest("POST", f"{I2}/3pid/unbind", body)

    def unbind(signer: Signer) -> int:
        headers = {"Authorization": signer.authorization(signed, OURS, member="destination_is")}
        return beside.world.post(f"{I2}/3pid/unbind", body, headers=headers).status_code

    assert unbind(beside.world.server.services.keyring.signer("example.org")) == 403
    assert beside.world.look_up(token, GUEST) == "@guest:example.org"
    assert unbind(Signer("example.org", key)) == 200
    assert beside.world.look_up(token, GUEST) is None


def test_a_signed_out_device_takes_the_identity_servers_tokens_with_it(beside: Beside) -> None:
    """We do not know which device got them with the homeserver's OpenID token, so all go; clients get new ones."""
    access = beside.world.register("alice")
    other = beside.log_in("LAPTOP").json()["access_token"]
    token, elsewhere = beside.identity_token(), beside.identity_token("bob")
    beside.log_out(other)
    assert beside.world.get(f"{I2}/account", token=token).status_code == 401
    assert beside.world.get(f"{I2}/account", token=elsewhere).status_code == 200
    assert beside.world.get(f"{V3}/account/whoami", token=access).status_code == 200
