"""A103: somebody takes an invitation that was sent to another person's address, with what rooms and links show of it.

Real Synapses decide, because they verify what threepid signs.
"""

import itertools
from typing import Any

import nacl.signing
import pytest
from signedjson.sign import sign_json
from signedjson.types import SigningKey

from federated_synapse import IdentityAccount
from identity_of_synapse import Servers
from rig import wait_for

ON_BIND = "/_matrix/federation/v1/3pid/onbind"
_numbers = itertools.count(1)
pytestmark = pytest.mark.timeout(180)


class Stage:
    """Bob has accepted an invitation to Alice's room; Mallory, at Bob's homeserver, knows everything that the room knows."""

    def __init__(self, servers: Servers) -> None:
        number = next(_numbers)
        self.servers = servers
        self.address = f"victim{number}@example.net"
        self.alice = IdentityAccount(servers.first.register(f"carol{number}"), servers.identity.public)
        self.bob = IdentityAccount(servers.second.register(f"victim{number}"), servers.identity.public)
        self.mallory = IdentityAccount(servers.second.register(f"mallory{number}"), servers.identity.public)
        self.room_id = self.alice.person.create_room()
        self.alice.invite(self.room_id, "email", self.address)

    def accept(self) -> dict[str, Any]:
        """What threepid signed for Bob."""
        self.bob.bind(self.servers.post, "email", self.address)
        wait_for(lambda: self.bob.person.invited_to(self.room_id), 30, what="the invitation")
        # Her homeserver learns of it from the other one.
        (event,) = wait_for(
            lambda: self.alice.person.member(self.room_id, self.bob.person.user_id), 30, what="the invitation there"
        )
        return dict(event["content"]["third_party_invite"]["signed"])

    def claim(self, signed: dict[str, Any]) -> None:
        """Tell Mallory's homeserver that the invitation is hers."""
        mxid = self.mallory.person.user_id
        told = {
            "medium": "email", "address": self.address, "mxid": mxid, "room_id": self.room_id,
            "sender": self.alice.person.user_id, "signed": signed,
        }  # fmt: skip
        answer = self.servers.second.request("POST", ON_BIND, None, json={**told, "invites": [told]})
        assert answer.status_code >= 400, answer.text
        assert not self.mallory.person.invited_to(self.room_id)
        assert self.alice.person.member(self.room_id, mxid) == []


@pytest.fixture
def stage(federated: Servers) -> Stage:
    return Stage(federated)


def test_what_was_signed_for_one_user_is_of_no_use_to_another(stage: Stage) -> None:
    signed = stage.accept()
    stage.claim(signed)
    stage.claim({**signed, "mxid": stage.mallory.person.user_id})


def test_a_signature_of_another_key_is_no_acceptance(stage: Stage) -> None:
    token = stage.accept()["token"]
    own: Any = nacl.signing.SigningKey.generate()
    own.alg, own.version = "ed25519", "0"
    key: SigningKey = own
    statement = {"mxid": stage.mallory.person.user_id, "token": token}
    stage.claim(sign_json(statement, stage.alice.name, key))


def test_a_link_that_somebody_has_used_accepts_for_nobody_else(stage: Stage) -> None:
    told = stage.servers.post.parameters_of_link(stage.address)
    proof = {"token": told["token"], "private_key": told["private_key"]}
    stage.bob.do("sign-ed25519", {**proof, "mxid": stage.bob.person.user_id})
    refused = stage.mallory.ask("sign-ed25519", {**proof, "mxid": stage.mallory.person.user_id})
    assert (refused.status_code, refused.json()["errcode"]) == (404, "M_UNRECOGNIZED")
    refused = stage.mallory.ask("sign-ed25519", {**proof, "mxid": stage.bob.person.user_id})
    assert refused.status_code == 403


def test_nobody_binds_an_address_that_another_proved(stage: Stage) -> None:
    session = stage.bob.prove(stage.servers.post, "email", stage.address)
    refused = stage.mallory.ask("3pid/bind", {**session, "mxid": stage.mallory.person.user_id})
    assert refused.status_code >= 400
    body = {**session, **stage.mallory.named}
    assert stage.mallory.person.ask("POST", "account/3pid/bind", body).status_code >= 400
    assert stage.alice.found("email", stage.address) is None
    assert not stage.mallory.person.invited_to(stage.room_id)
