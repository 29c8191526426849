"""F45: the homeserver of an invited person is away, or the identity server dies: the invitation comes all the same, and once."""

import itertools
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from federated_synapse import IdentityAccount
from identity_of_synapse import Servers
from rig import wait_for

_numbers = itertools.count(1)
pytestmark = pytest.mark.timeout(180)


class Invited:
    """Bob, whose address is invited to a room of Alice's and proved, but not bound yet."""

    def __init__(self, servers: Servers) -> None:
        number = next(_numbers)
        self.servers = servers
        self.address = f"invited{number}@example.net"
        self.alice = IdentityAccount(servers.first.register(f"ann{number}"), servers.identity.public)
        self.bob = IdentityAccount(servers.second.register(f"ben{number}"), servers.identity.public)
        self.room_id = self.alice.person.create_room()
        self.alice.invite(self.room_id, "email", self.address)
        self.session = self.bob.prove(servers.post, "email", self.address)
        self.told_before = servers.second.times_told()

    def is_invited(self) -> bool:
        return self.bob.person.invited_to(self.room_id)

    def was_told_once(self) -> None:
        """There was one call, it made one invitation, and nothing waits any more."""
        wait_for(lambda: not waiting(self.servers), 30, what="the end of the job")
        assert self.servers.second.times_told() == self.told_before + 1
        assert len(self.alice.person.member(self.room_id, self.bob.person.user_id)) == 1


def waiting(servers: Servers) -> list[dict[str, Any]]:
    """The calls to homeservers that the outbox holds."""
    return [job for job in json.loads(operate(servers, "outbox", "list", "--json")) if job["channel"] == "onbind"]


def operate(servers: Servers, *command: str) -> str:
    """What a command of the operator prints."""
    whole = [sys.executable, "-m", "threepid", *command, "--config", str(servers.identity.config)]
    return subprocess.run(whole, capture_output=True, text=True, timeout=180, check=True).stdout


@pytest.fixture
def invited(federated: Servers) -> Invited:
    return Invited(federated)


def test_a_homeserver_that_was_away_is_told_when_it_is_back(federated: Servers, invited: Invited) -> None:
    federated.second.stop()
    try:
        invited.bob.bind_directly(invited.session)
        wait_for(lambda: [job["attempts"] for job in waiting(federated)] == [1], 40, what="the first attempt")
    finally:
        federated.second.start()
    assert not invited.is_invited()
    wait_for(invited.is_invited, 40, what="the invitation")
    invited.was_told_once()
    assert invited.alice.found("email", invited.address) == invited.bob.person.user_id


def test_a_bound_address_is_told_although_the_identity_server_is_killed_before(
    federated: Servers, invited: Invited
) -> None:
    """The homeserver holds the call up, so that threepid dies with it in hand."""
    assert federated.second.process is not None
    os.kill(federated.second.process.pid, signal.SIGSTOP)
    try:
        invited.bob.bind_directly(invited.session)
        federated.identity.kill()
    finally:
        os.kill(federated.second.process.pid, signal.SIGCONT)
    federated.identity.start()
    wait_for(invited.is_invited, 30, what="the invitation")
    invited.was_told_once()


def test_an_address_that_was_unbound_meanwhile_is_not_told(federated: Servers, invited: Invited) -> None:
    federated.second.stop()
    try:
        invited.bob.bind_directly(invited.session)
        wait_for(lambda: [job["attempts"] for job in waiting(federated)] == [1], 40, what="the first attempt")
        threepid = {"medium": "email", "address": invited.address}
        invited.bob.do("3pid/unbind", {"mxid": invited.bob.person.user_id, "threepid": threepid, **invited.session})
    finally:
        federated.second.start()
    wait_for(lambda: not waiting(federated), 40, what="the end of the job")
    assert federated.second.times_told() == invited.told_before
    assert not invited.is_invited()


def test_a_rotated_key_ends_invitations_but_not_the_link_in_the_mail(federated: Servers, invited: Invited) -> None:
    operate(federated, "keys", "rotate")
    federated.identity.stop()
    federated.identity.start()
    invited.bob.bind_directly(invited.session)
    (job,) = wait_for(lambda: [job for job in waiting(federated) if job["last_error"]], 40, what="a failed attempt")
    assert job["last_error"] == "status 502"
    assert not invited.is_invited()
    operate(federated, "outbox", "drop", job["id"])
    told = federated.post.parameters_of_link(invited.address)
    proof = {"token": told["token"], "private_key": told["private_key"], "mxid": invited.bob.person.user_id}
    signed = {"third_party_signed": invited.bob.do("sign-ed25519", proof)}
    invited.bob.person.do("POST", f"join/{invited.room_id}?via={federated.first.name}", signed)


def test_a_call_that_is_repeated_changes_nothing(federated: Servers, invited: Invited) -> None:
    """threepid repeats a call if it dies before it could note the answer."""
    invited.bob.bind_directly(invited.session)
    wait_for(invited.is_invited, 30, what="the invitation")
    bob = invited.bob.person
    bob.join(invited.room_id, federated.first.name)
    event, *_ = wait_for(
        lambda: invited.alice.person.member(invited.room_id, bob.user_id), 30, what="the invitation in the room"
    )
    told = {
        "medium": "email", "address": invited.address, "mxid": bob.user_id, "room_id": invited.room_id,
        "sender": invited.alice.person.user_id, "signed": event["content"]["third_party_invite"]["signed"],
    }  # fmt: skip
    again = federated.second.request(
        "POST", "/_matrix/federation/v1/3pid/onbind", None, json={**told, "invites": [told]}
    )
    assert again.status_code == 200, again.text
    # Synapses may send a join twice.
    memberships = [one["content"]["membership"] for one in invited.alice.person.member(invited.room_id, bob.user_id)]
    assert (memberships[0], {*memberships[1:]}) == ("invite", {"join"})
