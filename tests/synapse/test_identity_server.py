"""threepid as the identity server of real Synapses that keep their own accounts, set up by the lines of the guide."""

import itertools

import pytest

from federated_synapse import IdentityAccount, Person
from identity_of_synapse import Servers
from rig import wait_for

_numbers = itertools.count(1)
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def number() -> int:
    """Tells the people and addresses of the tests apart."""
    return next(_numbers)


def address_of(medium: str, number: int) -> str:
    return f"guest{number}@example.net" if medium == "email" else f"4477009001{number:02}"


def clients(servers: Servers, number: int) -> tuple[IdentityAccount, IdentityAccount]:
    """Alice at the first homeserver and Bob at the second, who both use the identity server."""
    alice, bob = servers.first.register(f"alice{number}"), servers.second.register(f"bob{number}")
    return IdentityAccount(alice, servers.identity.public), IdentityAccount(bob, servers.identity.public)


def talk(alice: Person, bob: Person, room_id: str) -> None:
    """Bob joins where Alice is, and each reads what the other says."""
    bob.join(room_id, alice.home.name)  # type: ignore[attr-defined]
    alice.say(room_id, "Welcome")
    bob.reads(room_id, "Welcome")
    bob.say(room_id, "Thank you")
    alice.reads(room_id, "Thank you")


def test_clients_find_the_identity_server_and_synapse_says_that_phones_work(federated: Servers) -> None:
    for synapse in (federated.first, federated.second):
        known = synapse.request("GET", "/.well-known/matrix/client", None).json()
        assert known["m.identity_server"] == {"base_url": federated.identity.public}


@pytest.mark.parametrize("medium", ["email", "msisdn"])
def test_somebody_who_was_invited_by_address_joins_from_another_homeserver(
    federated: Servers, number: int, medium: str
) -> None:
    address = address_of(medium, number)
    alice, bob = clients(federated, number)
    room_id = alice.person.create_room()
    alice.invite(room_id, medium, address)
    assert not bob.person.invited_to(room_id)
    bob.bind(federated.post, medium, address)
    wait_for(lambda: bob.person.invited_to(room_id), 15, what="the invitation")
    talk(alice.person, bob.person, room_id)
    invited, joined = alice.person.member(room_id, bob.person.user_id)
    assert invited["content"]["third_party_invite"]["signed"]["mxid"] == bob.person.user_id
    assert joined["content"]["membership"] == "join"
