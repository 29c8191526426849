"""A57: an acceptance is signed for the caller only, with the invitation's own key only, and not without end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import SignatureVerifyException, verify_signed_json
from unpaddedbase64 import decode_base64, encode_base64

from threepid.clock import DAY, HOUR
from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Query
from world import World

STORE = "/_matrix/identity/v2/store-invite"
SIGN = "/_matrix/identity/v2/sign-ed25519"
ALICE = "@alice:example.org"
BOB = "@bob:example.org"
APP = "https://app.example.org"
LIMITS = {"all": "on", "invite_signatures_from_caller": {"burst": 20, "per_hour": 60}}


class Invited:
    """Alice invited somebody; this is what stands in the room and in the mail."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alice = world.identity_token(world.register())
        self.bob = world.identity_token(world.register("bob"), "bob")
        self.stored = self.invite()
        link = next(line for line in world.mail().text.splitlines() if line.startswith(APP))
        told = dict(parse_qsl(urlsplit(link).fragment.partition("?")[2]))
        self.token, self.private_key = told["token"], told["private_key"]

    def invite(self) -> dict[str, Any]:
        request = {"medium": "email", "address": "guest@example.net", "room_id": "!r:example.org", "sender": ALICE}
        answer = self.world.post(STORE, request, token=self.alice)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def sign(self, *, mxid: str = BOB, access_token: str | None = None, **changes: Any) -> httpx.Response:
        request = {"mxid": mxid, "token": self.token, "private_key": self.private_key, **changes}
        return self.world.post(SIGN, request, token=access_token or self.bob)


@pytest.fixture
def invited(database_url: str, tmp_path: Path) -> Iterator[Invited]:
    with World(database_url, tmp_path, identity__invite_url=APP, limits=LIMITS) as world:
        yield Invited(world)


def unknown(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["errcode"]) == (404, "M_UNRECOGNIZED")


def test_what_is_signed_is_fixed_and_signed_by_the_invitations_key_alone(invited: Invited) -> None:
    answer = invited.sign(content={"evil": True}, sender="@mallory:evil.example", room_id="!other:evil.example")
    assert answer.status_code == 200, answer.text
    signed = answer.json()
    assert set(signed) == {"mxid", "sender", "token", "signatures"}
    assert (signed["mxid"], signed["sender"], signed["token"]) == (BOB, ALICE, invited.token)
    assert list(signed["signatures"]) == ["matrix.example.org"]
    server, own = (decode_base64(key["public_key"]) for key in invited.stored["public_keys"])
    verify_signed_json(signed, "matrix.example.org", decode_verify_key_bytes("ed25519:0", own))
    with pytest.raises(SignatureVerifyException):
        verify_signed_json(signed, "matrix.example.org", decode_verify_key_bytes("ed25519:0", server))


def test_it_is_signed_for_the_caller_only(invited: Invited) -> None:
    for mxid in (ALICE, "@bob:elsewhere.example", "@Bob:example.org"):
        answer = invited.sign(mxid=mxid)
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_UNAUTHORIZED")


def test_who_accepts_first_has_it_and_may_repeat_it(invited: Invited) -> None:
    first = invited.sign()
    assert first.status_code == 200
    assert invited.sign().json() == first.json()
    assert unknown(invited.sign(mxid=ALICE, access_token=invited.alice))


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_key_of_another_length_is_none(invited: Invited, length: int) -> None:
    answer = invited.sign(private_key=encode_base64(b"\x01" * length))
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("key", ["not base64!", "=", "ä" * 43, "A" * 44 + "=", "A" * 500])
def test_what_is_no_key_is_refused(invited: Invited, key: str) -> None:
    assert invited.sign(private_key=key).status_code == 400


def test_other_keys_sign_nothing_ours_least_of_all(invited: Invited) -> None:
    directory = invited.world.directory / "keys"
    (file,) = directory.glob("ed25519_*.key")
    ours = file.read_text().split()[2]
    server, own = (key["public_key"] for key in invited.stored["public_keys"])
    for key in (server, own, ours, encode_base64(b"\x01" * 32)):
        assert unknown(invited.sign(private_key=key))
    other = invited.invite()
    assert unknown(invited.sign(token=other["token"]))
    assert invited.sign().status_code == 200


def test_a_key_may_be_written_in_either_base64(invited: Invited) -> None:
    urlsafe = invited.private_key.replace("+", "-").replace("/", "_")
    assert invited.sign(private_key=urlsafe).json() == invited.sign().json()


def test_unknown_cancelled_and_expired_invitations_are_answered_alike(invited: Invited) -> None:
    world = invited.world
    assert invited.sign(token="nosuch").json() == {"errcode": "M_UNRECOGNIZED", "error": "This token is unknown."}
    invites = world.identity.invites
    assert invites is not None
    assert world.post(SIGN, {"mxid": BOB, "token": "a b", "private_key": "x"}, token=invited.bob).status_code == 400
    world.run(invites.cancel(world.run(invites.list_after(None, 1))[0].id))
    assert unknown(invited.sign())


def test_that_a_token_is_unknown_is_said_whatever_the_key_is(invited: Invited) -> None:
    for key in ("base64encodedkey", "not base64!", "", encode_base64(b"\x01" * 32)):
        assert unknown(invited.sign(token="sometoken", private_key=key)), key


def test_an_invitation_ends_to_the_millisecond(invited: Invited) -> None:
    invited.world.clock.advance(90 * DAY - 1)
    assert invited.sign().status_code == 200
    invited.world.clock.advance(1)
    assert unknown(invited.sign())


def test_a_thousand_calls_are_sixty_an_hour(invited: Invited) -> None:
    statuses = [invited.sign(token=f"guess{number}").status_code for number in range(200)]
    assert statuses == [404] * 20 + [429] * 180
    refused = invited.sign()
    assert refused.json()["errcode"] == "M_LIMIT_EXCEEDED"
    assert invited.sign(mxid=ALICE, access_token=invited.alice).status_code == 200
    invited.world.clock.advance(HOUR // 60)
    assert unknown(invited.sign())


def test_the_old_api_is_counted_by_who_calls(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__v1__bind=True, limits=LIMITS) as world:
        request = {"mxid": BOB, "token": "nosuch", "private_key": "A" * 43}
        answers = [world.post("/_matrix/identity/api/v1/sign-ed25519", request) for _ in range(25)]
        assert [answer.status_code for answer in answers] == [404] * 20 + [429] * 5


def test_the_private_half_of_a_key_is_not_kept(invited: Invited) -> None:
    database = invited.world.server.context.database
    for table, column in (("invites", "public_key"), ("ephemeral_keys", "public_key"), ("outbox", "params")):
        statement = f"SELECT COUNT(*) FROM {table} WHERE {column} LIKE :key"
        query = Query("test", statement, statement.replace(":key", "%(key)s"))
        wanted = f"%{invited.private_key}%"

        def count(tx: Tx, query: Query = query, wanted: str = wanted) -> Any:
            return tx.value(query, key=wanted)

        assert invited.world.run(database.read(count)) == 0, table
