"""Somebody who is not on Matrix yet is invited by address, binds it, and their homeserver is told."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import httpx
import pytest
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json
from unpaddedbase64 import decode_base64

from fake_homeserver import ON_BIND, TOLD, FakeHomeserver, homeserver
from fake_identity_server import DROP, Asked
from threepid import background
from threepid.clock import DAY, HOUR, MINUTE, SECOND
from threepid.domain.identity.callbacks import CALLBACK_LIFE
from threepid.domain.identity.invites import Invites
from threepid.storage import outbox
from threepid.storage.invites import Invite
from world import BASE, PASSWORD, Mail, World

STORE = "/_matrix/identity/v2/store-invite"
SIGN = "/_matrix/identity/v2/sign-ed25519"
BIND = "/_matrix/identity/v2/3pid/bind"
V1 = "/_matrix/identity/api/v1"
ALICE = "@alice:example.org"
OURS = "matrix.example.org"
GUEST = "guest@example.net"
ROOM = "!garden:example.org"
APP = "https://app.example.org"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[FakeHomeserver]:
    with homeserver() as made:
        yield made


@pytest.fixture
def home(database_url: str, tmp_path: Path, elsewhere: FakeHomeserver) -> Iterator[World]:
    with World(database_url, tmp_path, **elsewhere.settings) as made:
        yield made


def invite_body(address: str = GUEST, **more: Any) -> dict[str, Any]:
    return {
        "medium": "email",
        "address": address,
        "room_id": ROOM,
        "sender": ALICE,
        "room_name": "Garden",
        "sender_display_name": "Alice",
        **more,
    }


def alice(home: World) -> str:
    return home.identity_token(home.register())


def invite(home: World, token: str, address: str = GUEST, **more: Any) -> dict[str, Any]:
    answer = home.post(STORE, invite_body(address, **more), token=token)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def join(home: World, server: FakeHomeserver, localpart: str = "guest") -> str:
    """An identity token of somebody at another homeserver."""
    answer = home.post("/_matrix/identity/v2/account/register", server.openid(localpart))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def publish(home: World, token: str, mxid: str, address: str = GUEST, *, secret: str = "secret") -> None:
    home.clock.advance(1)  # the newest mail is the one with the code
    sid = home.validated(token, address, secret=secret)
    answer = home.post(BIND, {"sid": sid, "client_secret": secret, "mxid": mxid}, token=token)
    assert answer.status_code == 200, answer.text


def work(home: World) -> None:
    """Let the worker do what is due."""
    home.run(home.server.worker.run_once())


def state(home: World, token: str) -> str:
    """What operators see of the invitation that has this token."""
    (found,) = [one for one in listed(home) if one.token == token]
    return invites_of(home).state(found)


def invites_of(home: World) -> Invites:
    assert home.identity.invites is not None
    return home.identity.invites


def listed(home: World) -> list[Invite]:
    return home.run(invites_of(home).list_after(None, 1000))


def is_valid(home: World, key: dict[str, str]) -> bool:
    """Asks where the key says that it can be asked for."""
    answer = home.get(key["key_validity_url"], params={"public_key": key["public_key"]})
    return bool(answer.json()["valid"])


def server_key(home: World) -> Any:
    key = home.get("/_matrix/identity/v2/pubkey/ed25519:0").json()["public_key"]
    return decode_verify_key_bytes("ed25519:0", decode_base64(key))


def links(mail: Mail) -> list[str]:
    return [line for line in mail.text.splitlines() if line.startswith("https://")]


def accepted_by(mail: Mail) -> dict[str, str]:
    """What the mail's link tells the client."""
    link = next(link for link in links(mail) if link.startswith(APP))
    return dict(parse_qsl(urlsplit(link).fragment.partition("?")[2]))


# -- storing


def test_an_invitation_is_stored_and_written_and_its_keys_can_be_asked_for(home: World) -> None:
    stored = invite(home, alice(home), "Guest@Example.net")
    assert set(stored) == {"token", "public_keys", "display_name"}
    assert re.fullmatch(r"[0-9a-zA-Z.=_-]{43}", stored["token"])
    assert stored["display_name"] == "g...@e..."
    assert [key["key_validity_url"] for key in stored["public_keys"]] == [
        f"{BASE}/_matrix/identity/v2/pubkey/isvalid",
        f"{BASE}/_matrix/identity/v2/pubkey/ephemeral/isvalid",
    ]
    assert [len(decode_base64(key["public_key"])) for key in stored["public_keys"]] == [32, 32]
    assert [is_valid(home, key) for key in stored["public_keys"]] == [True, True]
    assert bytes(server_key(home)) == decode_base64(stored["public_keys"][0]["public_key"])
    mail = home.mail()
    assert mail.recipient == "Guest@example.net"
    words = " ".join(mail.text.split())
    assert "Alice (@alice:example.org) invites you to a room on Matrix. It is called: Garden" in words
    assert f"identity server, enter {OURS}." in words
    assert "It waits for 90 days." in words
    assert stored["token"] not in mail.text


def test_an_invitation_is_in_the_language_of_who_invites(home: World) -> None:
    german = {"Accept-Language": "de"}
    body = {"username": "alice", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    token = home.post("/_matrix/client/v3/register", body, headers=german).json()["access_token"]
    invite(home, home.identity_token(token))
    assert str(home.mail().message["Subject"]) == "Du bist in einen Raum auf Matrix eingeladen"


def test_an_invitation_is_in_the_language_of_who_is_invited_if_that_is_known(home: World) -> None:
    french = {"Accept-Language": "fr"}
    body = {"username": "guest", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    token = home.post("/_matrix/client/v3/register", body, headers=french).json()["access_token"]
    assert home.add(token, home.validated(home.identity_token(token, "guest"), GUEST)).status_code == 200
    invite(home, home.identity_token(home.register()))
    assert str(home.mail().message["Subject"]) == "Invitation dans un salon sur Matrix"


def test_two_invitations_have_two_tokens_and_two_keys(home: World) -> None:
    token = alice(home)
    one, other = invite(home, token), invite(home, token)
    assert one["token"] != other["token"]
    assert one["public_keys"][0] == other["public_keys"][0]
    assert one["public_keys"][1] != other["public_keys"][1]
    assert len(listed(home)) == 2


def test_a_space_is_called_one_and_what_is_not_known_is_left_out(home: World) -> None:
    more: dict[str, Any] = {"room_name": None, "sender_display_name": "", "room_avatar_url": None, "room_alias": ""}
    invite(home, alice(home), room_type="m.space", **more)
    assert "@alice:example.org invites you to a space on Matrix." in " ".join(home.mail().text.split())
    assert home.mail().message["Subject"] == "You are invited to a space on Matrix"


def test_who_is_known_already_is_told_and_nobody_is_written_to(home: World) -> None:
    token = alice(home)
    publish(home, token, ALICE, "alice@example.com")
    mails = len(home.mails())
    answer = home.post(STORE, invite_body("ALICE@example.com"), token=token)
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_THREEPID_IN_USE")
    assert answer.json()["mxid"] == ALICE
    assert len(home.mails()) == mails
    assert listed(home) == []


@pytest.mark.parametrize(
    ("changes", "status", "errcode"),
    [
        ({"sender": "@bob:example.org"}, 403, "M_UNAUTHORIZED"),
        ({"sender": "@alice:example.org:443"}, 403, "M_UNAUTHORIZED"),
        ({"medium": "carrier pigeon"}, 400, "M_UNRECOGNIZED"),
        ({"medium": "msisdn", "address": "447400123456"}, 400, "M_UNRECOGNIZED"),
        ({"address": "a@b@c"}, 400, "M_INVALID_EMAIL"),
        ({"address": "guest@example.net\r\nBcc: x@y.example"}, 400, "M_INVALID_EMAIL"),
        ({"address": "guest@denied.example"}, 403, "M_THREEPID_DENIED"),
        ({"room_id": "#garden:example.org"}, 400, "M_INVALID_PARAM"),
        ({"room_id": "!a b"}, 400, "M_INVALID_PARAM"),
    ],
)
def test_what_cannot_be_invited(
    database_url: str, tmp_path: Path, changes: dict[str, str], status: int, errcode: str
) -> None:
    with World(database_url, tmp_path, policy={"email_domains_denied": ["denied.example"]}) as home:
        answer = home.post(STORE, invite_body(**changes), token=alice(home))
        assert (answer.status_code, answer.json()["errcode"]) == (status, errcode)
        assert home.mails() == []
        assert listed(home) == []


def test_a_phone_is_invited_by_a_text_without_links(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"], identity__invite_url=APP) as home:
        token = alice(home)
        stored = invite(home, token, "+44 7400 123456", medium="msisdn")
        assert stored["display_name"] == "+44..."
        (text,) = home.texts()
        assert text.recipient == "+447400123456"
        assert text.text.startswith("example.org: Alice (@alice:example.org) invites you to Garden on Matrix.")
        assert "://" not in text.text
        for number, errcode in (("+44", "M_INVALID_ADDRESS"), ("+4915123456789", "M_THREEPID_DENIED")):
            answer = home.post(STORE, invite_body(number, medium="msisdn"), token=token)
            assert answer.json()["errcode"] == errcode


def test_a_token_of_the_identity_server_is_needed(home: World) -> None:
    client = home.register()
    for token in (None, client, "nosuch"):
        answer = home.post(STORE, invite_body(), token=token)
        assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNAUTHORIZED")
        answer = home.post(SIGN, {"mxid": ALICE, "token": "x", "private_key": "A" * 43}, token=token)
        assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNAUTHORIZED")


# -- accepting by the mail's key


def test_the_mails_key_signs_the_acceptance_and_the_room_can_check_it(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__invite_url=APP + "/") as home:
        token = alice(home)
        stored = invite(home, token)
        link = links(home.mail())[0]
        assert link.startswith(f"{APP}/#/room/")
        assert unquote(urlsplit(link).fragment.partition("?")[0]) == f"/room/{ROOM}"
        told = accepted_by(home.mail())
        assert (told["email"], told["room_name"], told["inviter_name"]) == (GUEST, "Garden", "Alice")
        assert (told["token"], "signurl" in told) == (stored["token"], False)
        body = {"mxid": ALICE, "token": told["token"], "private_key": told["private_key"]}
        answer = home.post(SIGN, body, token=token)
        assert answer.status_code == 200, answer.text
        signed = answer.json()
        assert {name: signed[name] for name in ("mxid", "sender", "token")} == {
            "mxid": ALICE,
            "sender": ALICE,
            "token": stored["token"],
        }
        raw = decode_base64(stored["public_keys"][1]["public_key"])
        verify_signed_json(signed, OURS, decode_verify_key_bytes("ed25519:0", raw))
        assert state(home, stored["token"]) == "accepted"


def test_an_old_client_calls_the_signurl_of_the_mail_without_a_token(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__invite_url=APP, identity__v1__bind=True) as home:
        stored = invite(home, alice(home))
        told = accepted_by(home.mail())
        assert set(told) == {"email", "signurl", "room_name", "inviter_name"}
        signurl = urlsplit(told["signurl"])
        assert f"{signurl.scheme}://{signurl.netloc}" == BASE
        # matrix-js-sdk adds the user to the query and posts nothing.
        answer = home.call("POST", f"{signurl.path}?{signurl.query}&mxid=%40guest%3Aelsewhere.example")
        assert answer.status_code == 200, answer.text
        raw = decode_base64(stored["public_keys"][1]["public_key"])
        verify_signed_json(answer.json(), OURS, decode_verify_key_bytes("ed25519:0", raw))
        assert answer.json()["mxid"] == "@guest:elsewhere.example"


def test_links_do_not_need_what_is_turned_off(database_url: str, tmp_path: Path) -> None:
    off = {"public_keys": False, "validate": False, "lookup": False, "bind": False}
    with World(database_url, tmp_path, identity__invite_url=APP, identity__v1=off) as home:
        stored = invite(home, alice(home))
        assert "api/v1" not in home.mail().text
        assert [is_valid(home, key) for key in stored["public_keys"]] == [True, True]
        for path in ("store-invite", "sign-ed25519"):
            assert home.post(f"{V1}/{path}", invite_body()).status_code == 404


# -- handing over


def test_a_homeserver_is_told_of_what_waited_and_can_check_it(home: World, elsewhere: FakeHomeserver) -> None:
    token = alice(home)
    stored = []
    for number in range(3):
        stored.append(invite(home, token, room_id=f"!r{number}:example.org"))
        home.clock.advance(1)
    mxid = elsewhere.user_id("guest")
    publish(home, join(home, elsewhere), mxid, "GUEST@example.net")
    work(home)
    (asked,) = elsewhere.told
    assert (asked.method, asked.headers["host"]) == ("PUT", elsewhere.name)
    assert asked.headers["content-type"] == "application/json"
    key = server_key(home)
    verify_signed_json(asked.body, OURS, key)
    assert {name: asked.body[name] for name in ("medium", "address", "mxid")} == {
        "medium": "email",
        "address": GUEST,
        "mxid": mxid,
    }
    assert [one["signed"]["token"] for one in asked.body["invites"]] == [one["token"] for one in stored]
    for number, told in enumerate(asked.body["invites"]):
        assert set(told) == {"medium", "address", "mxid", "room_id", "sender", "signed"}
        assert (told["room_id"], told["sender"], told["mxid"]) == (f"!r{number}:example.org", ALICE, mxid)
        assert set(told["signed"]) == {"mxid", "token", "signatures"}
        assert told["signed"]["mxid"] == mxid
        verify_signed_json(told["signed"], OURS, key)
    assert {state(home, one["token"]) for one in stored} == {"handed over"}
    home.clock.advance(DAY)
    work(home)
    assert len(elsewhere.told) == 1


@pytest.mark.parametrize("status", [404, 405, 400], ids=["no-path", "no-method", "older-synapse"])
def test_a_homeserver_that_takes_post_only_is_told_by_post(home: World, elsewhere: FakeHomeserver, status: int) -> None:
    refusal = status, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}

    def synapse(asked: Asked) -> tuple[int, Any]:
        return TOLD if asked.method == "POST" else refusal

    elsewhere.replies[ON_BIND] = synapse
    stored = invite(home, alice(home))
    publish(home, join(home, elsewhere), elsewhere.user_id("guest"))
    work(home)
    assert [asked.method for asked in elsewhere.told] == ["PUT", "POST"]
    assert elsewhere.told[0].body == elsewhere.told[1].body
    assert state(home, stored["token"]) == "handed over"


def test_our_own_users_need_no_call(home: World, elsewhere: FakeHomeserver) -> None:
    token = alice(home)
    stored = invite(home, token)
    publish(home, token, ALICE, GUEST)
    assert state(home, stored["token"]) == "handed over"
    assert home.run(home.server.context.database.read(outbox.depth)) == 0
    assert elsewhere.told == []


def test_a_homeserver_beside_this_identity_server_is_called_although_it_has_our_name(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver
) -> None:
    with World(database_url, tmp_path, server__name=elsewhere.name, accounts=None, **elsewhere.settings) as home:
        token = join(home, elsewhere)
        invite(home, token, sender=elsewhere.user_id("guest"))
        publish(home, token, elsewhere.user_id("guest"))
        work(home)
        assert len(elsewhere.told) == 1


def test_nobody_is_told_where_nothing_waited(home: World, elsewhere: FakeHomeserver) -> None:
    invite(home, alice(home), "somebody.else@example.net")
    publish(home, join(home, elsewhere), elsewhere.user_id("guest"))
    work(home)
    assert elsewhere.told == []


@pytest.mark.parametrize(
    "reply",
    [
        (400, {"errcode": "M_BAD_JSON", "error": "No."}),
        (500, {}),
        (403, {"errcode": "M_FORBIDDEN", "error": "No."}),
        (302, {}),
        (404, {}),
    ],
)
def test_what_is_not_a_yes_is_asked_again_ever_more_rarely(
    home: World, elsewhere: FakeHomeserver, reply: tuple[int, Any]
) -> None:
    elsewhere.replies[ON_BIND] = reply
    stored = invite(home, alice(home))
    publish(home, join(home, elsewhere), elsewhere.user_id("guest"))
    each = 2 if reply == (404, {}) else 1
    for number, pause in enumerate([15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE], 1):
        work(home)
        assert len(elsewhere.told) == number * each
        assert state(home, stored["token"]) == "not handed over yet"
        home.clock.advance(pause - 1)
        work(home)
        assert len(elsewhere.told) == number * each
        home.clock.advance(1)
    elsewhere.replies[ON_BIND] = TOLD
    work(home)
    bodies = [asked.body for asked in elsewhere.told]
    assert bodies == [bodies[0]] * (4 * each + 1)
    assert state(home, stored["token"]) == "handed over"


@pytest.mark.parametrize("reply", [None, DROP, (200, b"x" * 100_000)])
def test_a_homeserver_that_cannot_be_asked_is_asked_later(home: World, elsewhere: FakeHomeserver, reply: Any) -> None:
    stored = invite(home, alice(home))
    publish(home, join(home, elsewhere), elsewhere.user_id("guest"))
    if reply is None:
        elsewhere.stop()
    else:
        elsewhere.replies[ON_BIND] = reply
    work(home)
    assert state(home, stored["token"]) == "not handed over yet"
    if reply is None:
        elsewhere.start()
    elsewhere.replies[ON_BIND] = TOLD
    home.clock.advance(15 * SECOND)
    work(home)
    assert state(home, stored["token"]) == "handed over"


def test_after_seven_days_nobody_is_asked_until_the_address_is_bound_again(
    home: World, elsewhere: FakeHomeserver
) -> None:
    elsewhere.replies[ON_BIND] = (500, {})
    stored = invite(home, alice(home))
    guest = join(home, elsewhere)
    publish(home, guest, elsewhere.user_id("guest"))
    started = home.clock.now()
    while home.clock.now() < started + CALLBACK_LIFE:
        work(home)
        home.clock.advance(HOUR)
    asked = len(elsewhere.told)
    assert 30 < asked < 60
    elsewhere.replies[ON_BIND] = TOLD
    home.clock.advance(DAY)
    work(home)
    assert len(elsewhere.told) == asked
    publish(home, guest, elsewhere.user_id("guest"), secret="another")
    work(home)
    assert len(elsewhere.told) == asked + 1
    assert state(home, stored["token"]) == "handed over"


def test_binding_again_makes_no_second_call_and_another_owner_takes_it_over(
    home: World, elsewhere: FakeHomeserver
) -> None:
    elsewhere.replies[ON_BIND] = (500, {})
    invite(home, alice(home))
    guest, other = join(home, elsewhere), join(home, elsewhere, "other")
    publish(home, guest, elsewhere.user_id("guest"), secret="one")
    work(home)
    publish(home, guest, elsewhere.user_id("guest"), secret="two")
    assert home.run(home.server.context.database.read(outbox.depth)) == 1
    publish(home, other, elsewhere.user_id("other"), secret="three")
    elsewhere.replies[ON_BIND] = TOLD
    for _ in range(5):
        home.clock.advance(MINUTE)
        work(home)
    assert [asked.body["mxid"] for asked in elsewhere.told] == [
        elsewhere.user_id("guest"),
        elsewhere.user_id("other"),
    ]
    assert home.run(home.server.context.database.read(outbox.depth)) == 0


def test_what_was_unbound_or_cancelled_meanwhile_is_not_told(home: World, elsewhere: FakeHomeserver) -> None:
    token = alice(home)
    kept, cancelled = invite(home, token), invite(home, token)
    guest, mxid = join(home, elsewhere), elsewhere.user_id("guest")
    elsewhere.replies[ON_BIND] = (500, {})
    publish(home, guest, mxid, secret="one")
    work(home)
    home.clock.advance(1)
    sid = home.validated(guest, secret="two", address=GUEST)
    threepid = {"medium": "email", "address": GUEST}
    proof = {"mxid": mxid, "threepid": threepid, "sid": sid, "client_secret": "two"}
    assert home.post("/_matrix/identity/v2/3pid/unbind", proof).status_code == 200
    home.run(invites_of(home).cancel(next(one.id for one in listed(home) if one.token == cancelled["token"])))
    elsewhere.replies[ON_BIND] = TOLD
    home.clock.advance(MINUTE)
    work(home)
    assert len(elsewhere.told) == 1
    publish(home, guest, mxid, secret="three")
    work(home)
    assert len(elsewhere.told) == 2
    assert [one["signed"]["token"] for one in elsewhere.told[1].body["invites"]] == [kept["token"]]
    assert state(home, cancelled["token"]) == "cancelled"


def test_many_invitations_go_in_calls_of_fifty(home: World, elsewhere: FakeHomeserver) -> None:
    token = alice(home)
    stored = {invite(home, token)["token"] for _ in range(51)}
    publish(home, join(home, elsewhere), elsewhere.user_id("guest"))
    for _ in range(3):
        work(home)
        home.clock.advance(MINUTE)
    told = [[one["signed"]["token"] for one in asked.body["invites"]] for asked in elsewhere.told]
    assert sorted(map(len, told)) == [1, 50]
    assert {token for call in told for token in call} == stored


# -- the end


def test_an_invitation_ends_after_its_days_and_is_forgotten(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver
) -> None:
    changes: dict[str, Any] = {"identity__invite_days": 3, "identity__invite_url": APP}
    with World(database_url, tmp_path, **changes, **elsewhere.settings) as home:
        token = alice(home)
        stored = invite(home, token)
        told = accepted_by(home.mail())
        assert "It waits for 3 days." in " ".join(home.mail().text.split())
        home.clock.advance(3 * DAY - 1)
        assert is_valid(home, stored["public_keys"][1])
        home.clock.advance(1)
        assert not is_valid(home, stored["public_keys"][1])
        assert is_valid(home, stored["public_keys"][0])
        assert state(home, stored["token"]) == "expired"
        body = {"mxid": ALICE, "token": told["token"], "private_key": told["private_key"]}
        assert home.post(SIGN, body, token=token).status_code == 404
        publish(home, join(home, elsewhere), elsewhere.user_id("guest"))
        work(home)
        assert elsewhere.told == []
        home.run(background.run_once(home.server.context))
        assert len(listed(home)) == 1
        home.clock.advance(7 * DAY)
        home.run(background.run_once(home.server.context))
        assert listed(home) == []


def test_operators_list_and_cancel(home: World, tmp_path: Path) -> None:
    stored = invite(home, alice(home))
    (found,) = listed(home)
    config = tmp_path / "threepid.toml"
    config.write_text(
        f'[server]\nname = "example.org"\npublic_base_url = "{BASE}"\ndata_dir = "{home.config.server.data_dir}"\n'
        f'[database]\nurl = "{home.database_url}"\n[accounts]\n[identity]\n'
    )

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
        whole = [sys.executable, "-m", "threepid", "invites", *arguments]
        return subprocess.run(whole, capture_output=True, text=True, timeout=180, cwd=tmp_path, env=environment)

    listing = command("list", "-c", str(config))
    assert listing.returncode == 0, listing.stderr
    lines = listing.stdout.splitlines()
    assert lines[0].split() == ["id", "medium", "address", "sender", "room", "created", "expires", "state"]
    assert lines[1].split()[:5] == [found.id, "email", GUEST, ALICE, ROOM]
    assert lines[1].split()[-1] == "waiting"
    assert stored["token"] not in lines[1]
    done = command("cancel", "-c", str(config), "--", found.id)
    assert done.stdout == f"cancelled the invitation of {GUEST} to {ROOM}\n", done.stderr
    again = command("cancel", "-c", str(config), "--", found.id)
    assert (again.returncode, again.stderr) == (2, "This invitation is already cancelled.\n")
    missing = command("cancel", "-c", str(config), "nosuch")
    assert (missing.returncode, missing.stderr) == (2, "This invitation does not exist.\n")
    assert state(home, stored["token"]) == "cancelled"


def test_the_key_of_a_cancelled_invitation_is_in_force_no_more(home: World) -> None:
    stored = invite(home, alice(home))
    home.run(invites_of(home).cancel(listed(home)[0].id))
    assert [is_valid(home, key) for key in stored["public_keys"]] == [True, False]


# -- no more, please


def stop_link(mail: Mail) -> str:
    (link,) = [link for link in links(mail) if "/invitations/stop/" in link]
    return link.removeprefix(BASE)


def test_who_wants_no_more_gets_no_more_and_the_sender_cannot_tell(home: World) -> None:
    token = alice(home)
    first = invite(home, token)
    link = stop_link(home.mail())
    for method in ("GET", "HEAD", "GET"):
        assert home.call(method, link).status_code == 200
    invite(home, token)
    assert len(home.mails()) == 2
    pressed = home.post(link, b"")
    assert (pressed.status_code, "No more invitations" in pressed.text) == (200, True)
    assert home.post(link, b"").status_code == 200
    later = invite(home, token, "GUEST@Example.NET")
    assert len(home.mails()) == 2
    assert later.keys() == first.keys()
    assert later["display_name"] == first["display_name"]
    assert state(home, later["token"]) == "waiting"
    invite(home, token, "another@example.net")
    assert len(home.mails()) == 3


def test_the_wish_outlives_the_invitation_and_its_link_does_too(home: World) -> None:
    token = alice(home)
    invite(home, token)
    link = stop_link(home.mail())
    home.clock.advance(180 * DAY)
    home.run(background.run_once(home.server.context))
    assert listed(home) == []
    assert home.post(link, b"").status_code == 200
    home.clock.advance(180 * DAY)
    home.run(background.run_once(home.server.context))
    invite(home, token)
    assert len(home.mails()) == 1


def test_nobody_can_end_the_invitations_of_others(home: World) -> None:
    token = alice(home)
    invite(home, token)
    link = stop_link(home.mail())
    for wrong in (
        link[:-1],
        link + "0",
        link[:-1] + ("0" if link[-1] != "0" else "1"),
        "/invitations/stop/" + "0" * 64,
    ):
        for method in ("GET", "POST"):
            assert home.call(method, wrong, b"" if method == "POST" else None).status_code == 404
    foreign = home.post(link, b"", headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    invite(home, token)
    assert len(home.mails()) == 2


FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("body", "content_type"), [(b"List-Unsubscribe=One-Click", FORM), (PART, PARTS), (PART, f"{PARTS}; charset=utf-8")]
)
@pytest.mark.parametrize("headers", [{}, {"Origin": "https://mail.example", "Sec-Fetch-Site": "cross-site"}])
def test_a_mail_program_ends_invitations_by_one_click(
    home: World, body: bytes, content_type: str, headers: dict[str, str]
) -> None:
    token = alice(home)
    invite(home, token)
    message = home.mail().message
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = str(message["List-Unsubscribe"])
    assert re.fullmatch(rf"<{re.escape(BASE)}/invitations/stop/[0-9a-f]{{64}}>", link)
    # RFC 8058 wants both on a line that no program has to put together, and readable as they stand.
    assert f"\r\nList-Unsubscribe: {link}\r\n".encode() in home.mail().raw
    path = link[1:-1].removeprefix(BASE)
    assert path == stop_link(home.mail())
    for method in ("GET", "HEAD"):  # a scanner's
        assert home.call(method, path, headers=headers).status_code == 200
    invite(home, token)
    assert len(home.mails()) == 2
    answer = home.post(path, body, headers={"Content-Type": content_type, **headers})
    assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
    invite(home, token)
    assert len(home.mails()) == 2
    wrong = home.post(path[:-4] + "0000", body, headers={"Content-Type": content_type})
    assert wrong.status_code == 404


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"List-Unsubscribe=Two-Clicks", FORM),
        (b"a=List-Unsubscribe=One-Click", FORM),
        (b"List-Unsubscribe=One-Click", "text/plain"),
        (b"List-Unsubscribe=One-Click", PARTS),
        (PART, FORM),
        (PART.replace(b"One-Click", b"One-Clicks"), PARTS),
    ],
)
def test_another_sites_form_that_is_no_one_click_is_refused(home: World, body: bytes, content_type: str) -> None:
    invite(home, alice(home))
    headers = {"Content-Type": content_type, "Origin": "https://mail.example"}
    assert home.post(stop_link(home.mail()), body, headers=headers).status_code == 403


def test_no_other_mail_offers_to_unsubscribe(home: World) -> None:
    home.request_token(alice(home))
    assert home.mail().message["List-Unsubscribe"] is None
    assert home.mail().message["List-Unsubscribe-Post"] is None


# -- the old API


def test_a_homeserver_of_the_old_api_sends_a_form_and_finds_the_key_where_it_looks(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver
) -> None:
    with World(database_url, tmp_path, identity__v1__bind=True, **elsewhere.settings) as home:
        form = {**invite_body(sender="@somebody:dendrite.example"), "room_alias": "", "guest_access_token": "x"}
        answer = home.run(home.http.post(f"{V1}/store-invite", data=form))
        assert answer.status_code == 200, answer.text
        stored = answer.json()
        assert stored["public_key"] == stored["public_keys"][0]["public_key"]
        assert "(@somebody:dendrite\N{ZERO WIDTH NON-JOINER}.example) invites" in " ".join(home.mail().text.split())
        publish(home, join(home, elsewhere), elsewhere.user_id("guest"))
        work(home)
        (asked,) = elsewhere.told
        assert asked.body["invites"][0]["sender"] == "@somebody:dendrite.example"
        in_use = home.run(home.http.post(f"{V1}/store-invite", data=form))
        assert (in_use.status_code, in_use.json()["errcode"]) == (400, "M_THREEPID_IN_USE")


def test_parameters_of_the_old_api_may_stand_in_the_query(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__v1__bind=True) as home:
        query = httpx.QueryParams({"medium": "email", "address": GUEST, "room_id": ROOM, "sender": ALICE})
        answer = home.call("POST", f"{V1}/store-invite?{query}", b"null")
        assert answer.status_code == 200, answer.text
        assert parse_qs(urlsplit(answer.json()["public_keys"][1]["key_validity_url"]).query) == {}
