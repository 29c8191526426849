"""The whole way of docs/guides/moving-from-sydent.md with a real Sydent: its clients and homeservers notice nothing."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json
from unpaddedbase64 import decode_base64

from fake_homeserver import FakeHomeserver, homeserver
from real_sydent import TERMS_URL, V1, V2, RealSydent, needs_sydent
from rig import ServerProcess, Sink, free_port, sink, wait_for
from test_cli import threepid
from threepid.spec.lookup_hash import lookup_hash

ALICE_MAIL, BOB_MAIL, NEW_MAIL = "alice@example.com", "bob@example.com", "new@example.com"
PHONE: Final = "447700900123"
ROOM: Final = "!room:example.org"


class Before:
    """What people do at Sydent, and what its clients and homeservers know afterwards."""

    def __init__(self, sydent: RealSydent, hs: FakeHomeserver) -> None:
        self.alice, self.bob, self.carol = map(hs.user_id, ("alice", "bob", "carol"))
        self.token = self.sign_up(sydent, hs, "alice")
        assert sydent.get(f"{V2}/hash_details", self.token).json()["errcode"] == "M_TERMS_NOT_SIGNED"
        self.bob_token = self.sign_up(sydent, hs, "bob")
        for token in (self.token, self.bob_token):
            assert sydent.post(f"{V2}/terms", {"user_accepts": [TERMS_URL]}, token).status_code == 200
        sid = sydent.validated_email(ALICE_MAIL, self.token, "alice-secret")
        self.association = sydent.bind(sid, "alice-secret", self.alice, self.token)
        sid = sydent.validated_phone("07700 900123", self.token, "phone-secret")
        sydent.bind(sid, "phone-secret", self.alice, self.token)
        sid = sydent.validated_email(BOB_MAIL, self.bob_token, "bob-secret")
        sydent.bind(sid, "bob-secret", self.bob, self.bob_token)
        body = {
            "mxid": self.bob, "sid": sid, "client_secret": "bob-secret", "threepid": {"medium": "email", "address": BOB_MAIL},
        }  # fmt: skip
        assert sydent.post(f"{V2}/3pid/unbind", body, self.bob_token).status_code == 200
        self.pepper = str(sydent.get(f"{V2}/hash_details", self.token).json()["lookup_pepper"])
        self.invite = self.invited(sydent, NEW_MAIL)
        self.private_key = sydent.field(sydent.sink.mails[-1].text, "key")
        self.found = self.look_up(sydent.url)
        assert self.found == {ALICE_MAIL: self.alice, PHONE: self.alice}
        self.public_key = str(sydent.get(f"{V2}/pubkey/ed25519:0").json()["public_key"])

    @staticmethod
    def sign_up(sydent: RealSydent, hs: FakeHomeserver, name: str) -> str:
        answer = sydent.post(f"{V2}/account/register", hs.openid(name))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def invited(self, sydent: RealSydent, address: str) -> dict[str, Any]:
        body = {"medium": "email", "address": address, "room_id": ROOM, "sender": self.alice}
        count = len(sydent.sink.mails)
        answer = sydent.post(f"{V2}/store-invite", body, self.token)
        assert answer.status_code == 200, answer.text
        wait_for(lambda: len(sydent.sink.mails) > count, what="the mail of the invitation")
        return dict(answer.json())

    def look_up(self, url: str) -> dict[str, str]:
        """What Alice's client finds with the pepper that it knows, by address."""
        asked = (("email", ALICE_MAIL), ("email", BOB_MAIL), ("email", NEW_MAIL), ("msisdn", PHONE))
        hashes = {lookup_hash(address, medium, self.pepper): address for medium, address in asked}
        body = {"addresses": list(hashes), "algorithm": "sha256", "pepper": self.pepper}
        answer = httpx.post(f"{url}{V2}/lookup", json=body, headers={"Authorization": f"Bearer {self.token}"})
        assert answer.status_code == 200, answer.text
        return {hashes[hash_]: mxid for hash_, mxid in answer.json()["mappings"].items()}

    def check(self, signed: dict[str, Any], name: str) -> None:
        """Raise unless `signed` has a signature with Sydent's key."""
        verify_signed_json(signed, name, decode_verify_key_bytes("ed25519:0", decode_base64(self.public_key)))


def server_at(directory: Path, port: int, hs: FakeHomeserver, smtp_port: int) -> ServerProcess:
    terms = f'[[identity.terms]]\nid = "terms"\nversion = "2"\nlanguages = {{ en = {{ name = "Terms", url = "{TERMS_URL}" }} }}\n'
    outbound = f'[outbound]\nallow = ["127.0.0.0/8", "::1"]\nca_file = "{hs.ca_file}"\n'
    via = f'{{ transport = "smtp", host = "localhost", port = {smtp_port}, tls = "plain" }}'
    return ServerProcess(directory, port=port, via=via, tables=terms + outbound)


def bring(sydent: RealSydent, server: ServerProcess, *more: str) -> dict[str, Any]:
    done = threepid(
        "import",
        "sydent",
        "--config",
        str(sydent.config),
        "-c",
        str(server.config),
        "--json",
        *more,
        cwd=server.directory,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def content(directory: Path) -> dict[str, str]:
    """All files of a folder, by name, with their hashes."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in directory.iterdir() if file.is_file()}


@needs_sydent
@pytest.mark.timeout(180)
def test_a_sydent_is_replaced_and_nobody_notices(tmp_path: Path) -> None:
    port = free_port()
    name, base = f"localhost:{port}", f"http://localhost:{port}"
    with homeserver() as hs, sink() as (mails, smtp_port):
        sydent = RealSydent(tmp_path / "sydent", mails, smtp_port, name=name, base=base, port=port)
        try:
            before = Before(sydent.start(), hs)
        finally:
            sydent.stop()
        files = content(sydent.directory)
        server = server_at(tmp_path / "threepid", port, hs, smtp_port)
        dry = bring(sydent, server, "--dry-run")
        first = bring(sydent, server)
        again = bring(sydent, server)
        assert content(sydent.directory) == files
        expected = {"associations": 2, "unbound": 1, "tokens": 2, "invitations": 1, "invitation_keys": 1,
                    "accepted_terms": 2, "signing_keys": 1}  # fmt: skip
        assert dry["carried"] == first["carried"] == expected
        assert first["inserted"] == {**expected, "unbound": 0}
        assert not any(again["inserted"].values())
        server.start()
        try:
            story_after(server, before, hs, mails, name)
        finally:
            server.stop()


def story_after(server: ServerProcess, before: Before, hs: FakeHomeserver, mails: Sink, name: str) -> None:
    with server.client() as http:

        def call(method: str, path: str, token: str | None = None, **more: Any) -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = http.request(method, path, headers=headers, **more)
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        # Tokens, terms, pepper and lookups of before.
        assert call("GET", f"{V2}/account", before.token)["user_id"] == before.alice
        assert call("GET", f"{V2}/account", before.bob_token)["user_id"] == before.bob
        assert call("GET", f"{V2}/hash_details", before.token)["lookup_pepper"] == before.pepper
        assert before.look_up(server.base) == before.found

        # Keys, at the very URLs that the room of the invitation names.
        assert call("GET", f"{V1}/pubkey/ed25519:0")["public_key"] == before.public_key
        for key in before.invite["public_keys"]:
            assert key["key_validity_url"].startswith(f"{server.base}/")
            assert httpx.get(key["key_validity_url"], params={"public_key": key["public_key"]}).json() == {
                "valid": True
            }
        assert call("GET", f"{V1}/pubkey/isvalid", params={"public_key": "A" * 43}) == {"valid": False}
        before.check(before.association, name)

        # The invitation is accepted with the key of its mail, then its address is bound, and the homeserver is told.
        carol = call("POST", f"{V2}/account/register", json=hs.openid("carol"))["token"]
        call("POST", f"{V2}/terms", carol, json={"user_accepts": [TERMS_URL]})
        accept = {"mxid": before.carol, "token": before.invite["token"], "private_key": before.private_key}
        signed = call("POST", f"{V2}/sign-ed25519", carol, json=accept)
        assert (signed["sender"], signed["token"]) == (before.alice, before.invite["token"])
        bound = bind(call, carol, NEW_MAIL, before.carol, mails)
        before.check(bound, name)
        told = wait_for(
            lambda: [asked.body for asked in hs.told if asked.body["address"] == NEW_MAIL],
            what="the call to the homeserver",
        )[0]
        before.check(told, name)
        (invite,) = told["invites"]
        assert (invite["room_id"], invite["mxid"]) == (ROOM, before.carol)
        assert invite["signed"]["token"] == before.invite["token"]
        before.check(invite["signed"], name)

        # Alice unbinds her address; her phone number stays.
        session = validated(call, before.token, ALICE_MAIL, mails)
        contact = {"medium": "email", "address": ALICE_MAIL}
        call("POST", f"{V2}/3pid/unbind", json={"mxid": before.alice, "threepid": contact, **session})
        assert before.look_up(server.base) == {PHONE: before.alice, NEW_MAIL: before.carol}


def validated(call: Any, token: str, address: str, mails: Sink) -> dict[str, str]:
    count = len(mails.mails)
    body = {"email": address, "client_secret": "new-secret", "send_attempt": 1}
    sid = call("POST", f"{V2}/validate/email/requestToken", token, json=body)["sid"]
    mail = wait_for(lambda: mails.mails[count:], what="a mail")[0]
    session = {"sid": sid, "client_secret": "new-secret"}
    call("POST", f"{V2}/validate/email/submitToken", token, json={**session, "token": mail.code})
    return session


def bind(call: Any, token: str, address: str, mxid: str, mails: Sink) -> dict[str, Any]:
    session = validated(call, token, address, mails)
    return dict(call("POST", f"{V2}/3pid/bind", token, json={**session, "mxid": mxid}))
