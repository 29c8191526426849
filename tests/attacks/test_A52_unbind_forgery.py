"""A52: an address is unbound by a proof of the address or by the user's own homeserver, and by nobody else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from signedjson.key import decode_signing_key_base64
from signedjson.sign import sign_json
from unpaddedbase64 import encode_base64

from fake_identity_server import DROP, FakeIdentityServer, identity_server
from threepid.clock import DAY, MINUTE
from threepid.domain.secrets.keys import rotate_keyring
from threepid.spec.signing import SignedRequest, Signer
from world import SeededEntropy, World

UNBIND = "/_matrix/identity/v2/3pid/unbind"
KEYS = "/_matrix/key/v2/server"
US = "matrix.example.org"
ALICE = "@alice:example.org"
ADDRESS = {"medium": "email", "address": "Alice@example.com"}
BODY = {"mxid": ALICE, "threepid": ADDRESS}
DONE = (200, None)
FORBIDDEN = (403, "M_FORBIDDEN")
UNAUTHORIZED = (401, "M_UNAUTHORIZED")
FAILED = (502, "M_UNKNOWN")


def published(world: World, address: str = "alice@example.com") -> list[str]:
    lookup = world.identity.lookup
    assert lookup is not None
    return [one.mxid for one in world.run(lookup.lookup_plain([("email", address)]))]


def publish(world: World, user: str = "alice") -> None:
    """An account that binds the address."""
    token = world.identity_token(world.register(user), user)
    world.clock.advance(1)
    body = {"sid": world.validated(token), "client_secret": "secret", "mxid": f"@{user}:example.org"}
    assert world.post("/_matrix/identity/v2/3pid/bind", body, token=token).status_code == 200


def key(seed: bytes, version: str = "0") -> Any:
    return decode_signing_key_base64("ed25519", version, encode_base64(seed * 32))


def own(world: World) -> Signer:
    return world.server.services.keyring.signer("example.org")


def header(signer: Signer, *, method: str = "POST", uri: str = UNBIND, content: Any = BODY, to: str = US) -> str:
    return signer.authorization(SignedRequest(method, uri, content), to)


def send(world: World, authorization: str | None, body: dict[str, Any] = BODY, uri: str = UNBIND) -> tuple[int, Any]:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = world.post(uri, body, headers=headers)
    return answer.status_code, answer.json().get("errcode")


# -- by the homeserver


def test_the_users_homeserver_unbinds_in_either_form_of_the_signature(world: World) -> None:
    publish(world)
    request = SignedRequest("POST", UNBIND, BODY)
    assert send(world, own(world).authorization(request, US)) == DONE
    assert published(world) == []
    assert send(world, own(world).authorization(request, US)) == DONE  # it is so already
    world.clock.advance(1)
    publish(world, "bob")
    body = {"mxid": "@bob:example.org", "threepid": ADDRESS}
    form = own(world).authorization(SignedRequest("POST", f"{UNBIND}?a=%20", body), US, member="destination_is")
    assert send(world, form, body, f"{UNBIND}?a=%20") == DONE
    assert published(world) == []


def test_only_the_association_with_the_named_user_goes(world: World) -> None:
    publish(world)
    body = {"mxid": "@bob:example.org", "threepid": ADDRESS}
    assert send(world, header(own(world), content=body), body) == DONE
    assert published(world) == [ALICE]


def test_a_signature_of_anything_else_is_refused(world: World) -> None:
    publish(world)
    signer = own(world)
    good = header(signer)
    attempts = {
        "no scheme": "abc",
        "a token": "Bearer abc",
        "another key": header(Signer("example.org", key(b"x"))),
        "an unknown key": header(Signer("example.org", key(b"x", "unknown"))),
        "another path": header(signer, uri="/_matrix/identity/api/v1/3pid/unbind"),
        "a query": header(signer, uri=f"{UNBIND}?"),
        "another method": header(signer, method="PUT"),
        "another body": header(signer, content={**BODY, "more": 1}),
        "no body": header(signer, content=None),
        "another algorithm": good.replace("ed25519:", "ed448:"),
        "two at once": f"{good}, {good}",
        "the origin twice": f'{good},origin="example.org"',
        "an origin of another user": header(Signer("evil-example.org", signer.key)),
        "an origin below": header(Signer("evil.example.org", signer.key)),
        "another case": header(Signer("EXAMPLE.ORG", signer.key)),
        "a changed signature": good[:-3] + ("A" if good[-3] != "A" else "B") + good[-2:],
    }
    assert {name: send(world, attempt) for name, attempt in attempts.items()} == dict.fromkeys(attempts, FORBIDDEN)
    assert send(world, header(signer, to="other.example")) == UNAUTHORIZED
    assert send(world, None) == UNAUTHORIZED
    headers = [("Authorization", good), ("Authorization", good)]
    assert world.run(world.http.post(UNBIND, json=BODY, headers=headers)).status_code == 403
    assert published(world) == [ALICE]
    assert send(world, good) == DONE


def test_a_retired_key_signs_nothing_any_more(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        publish(world)
        old = own(world)
        rotate_keyring(tmp_path / "keys", SeededEntropy("next"), world.clock)
        with world.again() as rotated:
            assert send(rotated, header(old)) == FORBIDDEN
            assert published(rotated) == [ALICE]
            assert send(rotated, header(own(rotated))) == DONE


# -- by a homeserver elsewhere, whose keys are asked for


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[FakeIdentityServer]:
    """Another homeserver; its user is @zoe."""
    with identity_server() as made:
        made.replies["/_matrix/federation/v1/openid/userinfo"] = 200, {"sub": f"@zoe:{made.name}"}
        yield made


@pytest.fixture
def world_with_zoe(database_url: str, tmp_path: Path, elsewhere: FakeIdentityServer) -> Iterator[World]:
    with World(database_url, tmp_path, **elsewhere.settings) as world:
        openid = {"access_token": "x", "matrix_server_name": elsewhere.name}
        token = world.post("/_matrix/identity/v2/account/register", openid).json()["token"]
        body = {"sid": world.validated(token), "client_secret": "secret", "mxid": f"@zoe:{elsewhere.name}"}
        assert world.post("/_matrix/identity/v2/3pid/bind", body, token=token).status_code == 200
        elsewhere.asked.clear()
        yield world


def serve_keys(elsewhere: FakeIdentityServer, world: World, *keys: Any, signed_by: Any = None, **changes: Any) -> None:
    document = {
        "server_name": elsewhere.name,
        "verify_keys": {f"ed25519:{one.version}": {"key": encode_base64(bytes(one.verify_key))} for one in keys},
        "old_verify_keys": {},
        "valid_until_ts": world.clock.now() + DAY,
        **changes,
    }
    for one in keys if signed_by is None else signed_by:
        sign_json(document, elsewhere.name, one)
    elsewhere.replies[KEYS] = 200, document


def by_zoe(elsewhere: FakeIdentityServer, signing: Any, mxid: str | None = None) -> tuple[str, dict[str, Any]]:
    body = {"mxid": mxid or f"@zoe:{elsewhere.name}", "threepid": ADDRESS}
    return header(Signer(elsewhere.name, signing), content=body), body


def test_another_homeserver_unbinds_for_its_users_only(world_with_zoe: World, elsewhere: FakeIdentityServer) -> None:
    world, zoe = world_with_zoe, f"@zoe:{elsewhere.name}"
    serve_keys(elsewhere, world, key(b"z"))
    for mxid in (ALICE, f"@zoe:x{elsewhere.name}", f"@zoe:{elsewhere.name}.example", "@zoe:localhost"):
        assert send(world, *by_zoe(elsewhere, key(b"z"), mxid)) == FORBIDDEN
    assert elsewhere.asked == []  # whose user it is not need not be asked for keys
    assert send(world, *by_zoe(elsewhere, key(b"y"))) == FORBIDDEN
    assert published(world) == [zoe]
    assert send(world, *by_zoe(elsewhere, key(b"z"))) == DONE
    assert published(world) == []
    assert elsewhere.paths() == [KEYS]  # the keys are known then


def test_keys_that_are_not_to_be_trusted_are_not(world_with_zoe: World, elsewhere: FakeIdentityServer) -> None:
    world = world_with_zoe
    now = world.clock.now()
    serve_keys(elsewhere, world, key(b"z"), signed_by=[])
    assert send(world, *by_zoe(elsewhere, key(b"z"))) == FORBIDDEN
    world.clock.advance(6 * MINUTE)
    serve_keys(elsewhere, world, key(b"z"), key(b"y", "1"), signed_by=[key(b"y", "1")])
    assert send(world, *by_zoe(elsewhere, key(b"z"))) == FORBIDDEN
    for changes in (
        {"server_name": "other.example"},
        {"valid_until_ts": now},
        {"verify_keys": {"rsa:1": {"key": "x"}}},
    ):
        world.clock.advance(2 * DAY)
        serve_keys(elsewhere, world, key(b"z"), **{"valid_until_ts": world.clock.now() + DAY, **changes})
        assert send(world, *by_zoe(elsewhere, key(b"z"))) == FAILED
    for reply in ((500, b""), (200, b"[]"), (404, {"errcode": "M_UNRECOGNIZED"}), DROP):
        elsewhere.replies[KEYS] = reply
        assert send(world, *by_zoe(elsewhere, key(b"z"))) == FAILED
    assert published(world) == [f"@zoe:{elsewhere.name}"]


@pytest.mark.parametrize(
    ("key_id", "offered"),
    [
        ("ml-dsa-44:1", {"key": "A" * 1750}),
        ("ed25519:a-b", {"key": "A" * 43}),
        ("curve25519:1", {"key": "A" * 43}),
        ("other:1", {"keys": ["A" * 43]}),
        ("other:2", "A" * 43),
        ("ed25519:2", {"key": "A" * 100}),
        ("ed25519:3", {"key": 1}),
    ],
)
def test_a_key_that_is_not_understood_spoils_no_other(
    world_with_zoe: World, elsewhere: FakeIdentityServer, key_id: str, offered: Any
) -> None:
    """https://spec.matrix.org/latest/appendices/#checking-for-a-signature."""
    world, understood = world_with_zoe, key(b"z")
    ours = {f"ed25519:{understood.version}": {"key": encode_base64(bytes(understood.verify_key))}}
    serve_keys(elsewhere, world, understood, verify_keys={key_id: offered, **ours})
    version = key_id.partition(":")[2]
    assert send(world, *by_zoe(elsewhere, key(b"x", version))) == FORBIDDEN
    assert send(world, *by_zoe(elsewhere, understood)) == DONE
    assert published(world) == []


def test_a_key_is_trusted_for_a_week_at_most(world_with_zoe: World, elsewhere: FakeIdentityServer) -> None:
    world = world_with_zoe
    serve_keys(elsewhere, world, key(b"z"), valid_until_ts=world.clock.now() + 1000 * DAY)
    assert send(world, *by_zoe(elsewhere, key(b"z"))) == DONE
    serve_keys(elsewhere, world, key(b"n", "1"))  # the old one was stolen, and is not offered any more
    world.clock.advance(7 * DAY - 1)
    assert send(world, *by_zoe(elsewhere, key(b"z"))) == DONE
    assert elsewhere.paths() == [KEYS]
    world.clock.advance(1)
    serve_keys(elsewhere, world, key(b"n", "1"))
    assert send(world, *by_zoe(elsewhere, key(b"z"))) == FORBIDDEN
    assert send(world, *by_zoe(elsewhere, key(b"n", "1"))) == DONE
    assert elsewhere.paths() == [KEYS, KEYS]


def test_a_new_key_is_asked_for_but_not_for_every_made_up_name(
    world_with_zoe: World, elsewhere: FakeIdentityServer
) -> None:
    world = world_with_zoe
    serve_keys(elsewhere, world, key(b"z"))
    for number in range(20):
        assert send(world, *by_zoe(elsewhere, key(b"x", f"made_up_{number}"))) == FORBIDDEN
    assert elsewhere.paths() == [KEYS]
    serve_keys(elsewhere, world, key(b"n", "1"))
    world.clock.advance(5 * MINUTE)
    assert send(world, *by_zoe(elsewhere, key(b"n", "1"))) == DONE
    assert elsewhere.paths() == [KEYS, KEYS]


# -- by a proof of the address


def proven(world: World, user: str = "alice", address: str = "alice@example.com", *, secret: str = "proof") -> str:
    world.clock.advance(1)
    token = world.identity_token(world.register(user), user)
    return world.validated(token, address, secret=secret)


def by_session(world: World, sid: str, mxid: str = ALICE, address: str = "alice@example.com") -> tuple[int, Any]:
    threepid = {"medium": "email", "address": address}
    body = {"mxid": mxid, "threepid": threepid, "sid": sid, "client_secret": "proof"}
    return send(world, None, body)


def test_who_proves_the_address_unbinds_it_from_whoever_has_it(world: World) -> None:
    publish(world)
    sid = proven(world, "newowner")  # of a mailbox that has changed hands
    assert by_session(world, sid, "@bob:example.org") == DONE
    assert published(world) == [ALICE]
    assert by_session(world, sid) == (404, "M_NO_VALID_SESSION")  # it was used up
    sid = proven(world, "another")
    assert by_session(world, sid) == DONE
    assert published(world) == []
    assert by_session(world, sid) == DONE


def test_other_sessions_prove_nothing(world: World) -> None:
    publish(world)
    unvalidated = world.request_token(world.identity_token(world.register("bob"), "bob"), secret="proof")
    assert by_session(world, unvalidated) == (400, "M_SESSION_NOT_VALIDATED")
    assert by_session(world, "unknown") == (404, "M_NO_VALID_SESSION")
    other = proven(world, "carol", "carol@example.com")
    assert by_session(world, other) == FORBIDDEN
    body = {**BODY, "sid": other}
    assert send(world, None, body) == (400, "M_MISSING_PARAMS")
    assert send(world, header(own(world), content=body), body) == (400, "M_MISSING_PARAMS")
    request = {"client_secret": "proof", "email": "alice@example.com", "send_attempt": 1}
    world.clock.advance(1)
    of_homeserver = world.post("/_matrix/client/v3/account/3pid/email/requestToken", request).json()["sid"]
    submit = {"sid": of_homeserver, "client_secret": "proof", "token": world.mail().code}
    assert world.post("/_threepid/client/v1/submit_token", submit).json() == {"success": True}
    assert by_session(world, of_homeserver) == (404, "M_NO_VALID_SESSION")
    assert published(world) == [ALICE]


@pytest.mark.parametrize(
    "threepid",
    [{"medium": "email", "address": "none"}, {"medium": "pigeon", "address": "a@b.example"}, {"medium": "email"}],
)
def test_what_is_no_address_is_refused(world: World, threepid: dict[str, str]) -> None:
    body = {"mxid": ALICE, "threepid": threepid}
    status, errcode = send(world, header(own(world), content=body), body)
    assert (status, errcode) in {(400, "M_INVALID_PARAM"), (400, "M_MISSING_PARAMS")}


def test_the_session_that_bound_also_unbinds_but_its_users_alone(world: World) -> None:
    token = world.identity_token(world.register())
    sid = world.validated(token, secret="proof")
    bind = {"sid": sid, "client_secret": "proof", "mxid": ALICE}
    assert world.post("/_matrix/identity/v2/3pid/bind", bind, token=token).status_code == 200
    assert by_session(world, sid) == DONE
    assert published(world) == []
    assert by_session(world, sid) == DONE
    publish(world, "bob")
    assert by_session(world, sid, "@bob:example.org") == (404, "M_NO_VALID_SESSION")
    assert published(world) == ["@bob:example.org"]
