"""The identity server of a homeserver beside us: its OpenID tokens, its rooms and its key are the homeserver's, not ours."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from signedjson.key import generate_signing_key, get_verify_key
from signedjson.sign import sign_json
from unpaddedbase64 import encode_base64

from beside import Beside, beside_a_synapse
from fake_synapse import SECRET, USERINFO
from threepid.clock import HOUR
from threepid.spec.signing import SignedRequest, Signer

REGISTER = "/_matrix/identity/v2/account/register"
ON_BIND = "/_matrix/federation/v1/3pid/onbind"
KEYS = "/_matrix/key/v2/server"
UNBIND = "/_matrix/identity/v2/3pid/unbind"
ALICE = "@alice:example.org"
OPENID = {"access_token": "of Synapse", "token_type": "Bearer", "matrix_server_name": "example.org", "expires_in": 3600}


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Beside]:
    with beside_a_synapse(database_url, tmp_path) as made:
        made.world.register()
        made.deliver()
        made.synapse.replies[USERINFO] = 200, {"sub": ALICE}
        yield made


def identity_token(both: Beside) -> str:
    answer = both.world.post(REGISTER, OPENID)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def publish(both: Beside, token: str) -> None:
    """Bind guest@example.net to Alice."""
    sid = both.world.validated(token, "guest@example.net")
    body = {"sid": sid, "client_secret": "secret", "mxid": ALICE}
    assert both.world.post("/_matrix/identity/v2/3pid/bind", body, token=token).status_code == 200


def test_an_openid_token_is_asked_of_the_homeserver_without_our_secret(both: Beside) -> None:
    token = identity_token(both)
    known = both.world.get("/_matrix/identity/v2/account", token=token)
    assert known.json() == {"user_id": ALICE}
    (asked,) = [called for called in both.synapse.calls if called.name == USERINFO]
    assert asked.body == {"access_token": "of Synapse"}
    assert SECRET not in str(asked.headers)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ((401, {"errcode": "M_UNKNOWN_TOKEN"}), 401),
        ((200, {"sub": "@alice:elsewhere.example"}), 502),
        ((500, {}), 502),
        ("drop", 502),
    ],
)
def test_an_openid_token_that_the_homeserver_does_not_confirm_gives_nothing(
    both: Beside, reply: Any, status: int
) -> None:
    both.synapse.replies[USERINFO] = reply
    assert both.world.post(REGISTER, OPENID).status_code == status


def test_the_homeserver_learns_of_invitations_that_waited_for_its_user(both: Beside) -> None:
    world = both.world
    token = identity_token(both)
    invitation = {"medium": "email", "address": "guest@example.net", "room_id": "!garden:example.org", "sender": ALICE}
    assert world.post("/_matrix/identity/v2/store-invite", invitation, token=token).status_code == 200
    told: list[Any] = []

    def on_bind(called: Any) -> Any:
        if called.method == "PUT":  # as Synapse
            return 405, {"errcode": "M_UNRECOGNIZED"}
        told.append(called.body)
        return 200, {}

    both.synapse.replies[ON_BIND] = on_bind
    publish(both, token)
    both.deliver()
    assert [(one["mxid"], one["invites"][0]["room_id"]) for one in told] == [(ALICE, "!garden:example.org")]
    world.clock.advance(HOUR)
    both.deliver()
    assert len(told) == 1


def test_the_homeserver_withdraws_what_it_has_bound_with_its_own_key(both: Beside) -> None:
    world = both.world
    token = identity_token(both)
    publish(both, token)
    key = generate_signing_key("theirs")
    public = encode_base64(get_verify_key(key).encode())
    published = {
        "server_name": "example.org",
        "valid_until_ts": int(time.time() * 1000) * 2,
        "verify_keys": {"ed25519:theirs": {"key": public}},
        "old_verify_keys": {},
    }
    both.synapse.replies[KEYS] = 200, sign_json(published, "example.org", key)
    body = {"mxid": ALICE, "threepid": {"medium": "email", "address": "guest@example.net"}}
    signed = Signer("example.org", key).authorization(SignedRequest("POST", UNBIND, body), "matrix.example.org")
    assert world.look_up(token, "guest@example.net") == ALICE
    assert world.post(UNBIND, body, headers={"Authorization": signed}).status_code == 200
    assert world.look_up(token, "guest@example.net") is None
