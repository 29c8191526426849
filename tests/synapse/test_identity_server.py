"""threepid as the identity server of real Synapses that keep their own accounts, set up by the lines of the guide."""

import itertools
import subprocess
from pathlib import Path

import httpx
import pytest

from federated_synapse import IdentityAccount, Person
from identity_of_synapse import Servers
from real_synapse import PYTHON
from rig import wait_for

_numbers = itertools.count(1)
pytestmark = pytest.mark.timeout(180)


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
    wait_for(lambda: bob.person.invited_to(room_id), 30, what="the invitation")
    talk(alice.person, bob.person, room_id)
    invited, joined = alice.person.member(room_id, bob.person.user_id)
    assert invited["content"]["third_party_invite"]["signed"]["mxid"] == bob.person.user_id
    assert joined["content"]["membership"] == "join"


@pytest.mark.parametrize("medium", ["email", "msisdn"])
def test_the_owner_of_a_bound_address_is_invited_directly(federated: Servers, number: int, medium: str) -> None:
    address = address_of(medium, number)
    alice, bob = clients(federated, number)
    bob.bind(federated.post, medium, address)
    room_id = alice.person.create_room()
    alice.invite(room_id, medium, address)
    wait_for(lambda: bob.person.invited_to(room_id), 30, what="the invitation")
    (invited,) = alice.person.member(room_id, bob.person.user_id)
    assert "third_party_invite" not in invited["content"]


@pytest.mark.parametrize("medium", ["email", "msisdn"])
def test_a_homeserver_unbinds_with_its_signature(federated: Servers, number: int, medium: str) -> None:
    address = address_of(medium, number)
    alice, bob = clients(federated, number)
    bob.bind(federated.post, medium, address)
    assert alice.found(medium, address) == bob.person.user_id
    # Alice's homeserver signs for its own users only.
    body = {"medium": medium, "address": address, "id_server": bob.name}
    assert alice.person.ask("POST", "account/3pid/unbind", body).status_code == 200
    assert alice.found(medium, address) == bob.person.user_id
    assert bob.person.do("POST", "account/3pid/unbind", body) == {"id_server_unbind_result": "success"}
    assert alice.found(medium, address) is None


def test_an_account_that_synapse_deactivates_is_not_found_any_more(federated: Servers, number: int) -> None:
    alice, bob = clients(federated, number)
    addresses = [(medium, address_of(medium, number)) for medium in ("email", "msisdn")]
    for medium, address in addresses:
        bob.bind(federated.post, medium, address)
    said = bob.person.confirm("POST", "account/deactivate", {"id_server": bob.name})
    assert said == {"id_server_unbind_result": "success"}
    wait_for(lambda: [alice.found(*one) for one in addresses] == [None, None], 30, what="the unbinding")


def test_people_add_a_phone_number_through_threepid_and_an_email_address_by_synapse(
    federated: Servers, number: int
) -> None:
    bob = federated.second.register(f"bob{number}")
    email, phone = address_of("email", number), address_of("msisdn", number)
    session: dict[str, str] = {"client_secret": f"secret{number}"}
    asked = bob.do(
        "POST",
        "account/3pid/msisdn/requestToken",
        {**session, "country": "GB", "phone_number": f"+{phone}", "send_attempt": 1},
    )
    session["sid"] = asked["sid"]
    code = federated.post.code(phone)
    assert asked["submit_url"].startswith(federated.second.url)
    wrong = httpx.post(asked["submit_url"], json={**session, "token": "000000"}, verify=federated.second.verify)
    assert wrong.json()["success"] is False
    right = httpx.post(asked["submit_url"], json={**session, "token": code}, verify=federated.second.verify)
    assert right.json() == {"success": True}
    bob.confirm("POST", "account/3pid/add", session)

    asked = bob.do("POST", "account/3pid/email/requestToken", {**session, "email": email, "send_attempt": 1})
    link = federated.post.found(email, r"https://\S+/add_threepid/email/submit_token\S+")
    assert link.startswith(federated.second.url)
    assert httpx.get(link, verify=federated.second.verify).status_code == 200
    bob.confirm("POST", "account/3pid/add", {"client_secret": session["client_secret"], "sid": asked["sid"]})
    assert bob.contacts() == [("email", email), ("msisdn", phone)]


def test_somebody_joins_by_the_link_in_the_mail_without_binding_the_address(federated: Servers, number: int) -> None:
    address = address_of("email", number)
    alice, bob = clients(federated, number)
    room_id = alice.person.create_room()
    alice.invite(room_id, "email", address)
    told = federated.post.parameters_of_link(address)
    proof = {"token": told["token"], "private_key": told["private_key"], "mxid": bob.person.user_id}
    signed = bob.do("sign-ed25519", proof)
    bob.person.do("POST", f"join/{room_id}?via={federated.first.name}", {"third_party_signed": signed})
    alice.person.say(room_id, "Welcome")
    bob.person.reads(room_id, "Welcome")
    assert alice.found("email", address) is None


def test_the_mail_and_the_text_say_who_invites_where(federated: Servers, number: int) -> None:
    alice, _ = clients(federated, number)
    room_id = alice.person.create_room("Rose garden")
    for medium in ("email", "msisdn"):
        alice.invite(room_id, medium, address_of(medium, number))
        said = " ".join(federated.post.invitation(address_of(medium, number)).split())
        assert f"alice{number}" in said
        assert "Rose garden" in said
        assert alice.name in said


def test_a_synapse_that_delegates_email_does_not_start(federated: Servers, tmp_path: Path) -> None:
    """So the guide has a section `email` for it."""
    config = tmp_path / "homeserver.yaml"
    text = (federated.first.directory / "homeserver.yaml").read_text()
    config.write_text(text.replace("  msisdn: ", f"  email: {federated.identity.public}\n  msisdn: "))
    command = [str(PYTHON), "-m", "synapse.app.homeserver", "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode != 0
    assert "account_threepid_delegates.email" in done.stderr


def test_a_synapse_calls_no_identity_server_at_a_private_address_until_it_may(
    federated: Servers, number: int, tmp_path: Path
) -> None:
    """What the guide says under "Private addresses", and what operators find in the log without it."""
    federated.second.stop()
    config = federated.second.directory / "homeserver.yaml"
    text = config.read_text()
    config.write_text(text.replace("ip_range_whitelist:\n  - 127.0.0.0/8\n  - ::1\n", ""))
    assert config.read_text() != text
    try:
        federated.second.start()
        carol = IdentityAccount(federated.second.register(f"carol{number}"), federated.identity.public)
        room_id = carol.person.create_room()
        told = {"medium": "email", "address": address_of("email", number), **carol.named}
        assert carol.person.ask("POST", f"rooms/{room_id}/invite", told).status_code >= 400
        assert "Error when looking up hashing details" in (federated.second.directory / "synapse.log").read_text()
    finally:
        federated.second.stop()
        config.write_text(text)
        federated.second.start()
    carol.invite(room_id, "email", address_of("email", number))
