"""threepid has the accounts of a Synapse and is the identity server, also of another Synapse, which keeps its own accounts."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from authority import authority, authority_file
from clients.post import Post, post_office
from federated_synapse import PASSWORD, V3, FederatedSynapse, IdentityAccount, Person, trust
from identity_of_synapse import OPEN
from real_synapse import SECRET, needs_synapse
from rig import ServerProcess, free_port, wait_for, whole

PRIVATE = "ip_range_whitelist: [127.0.0.0/8, '::1']\n"
DELEGATES = """
matrix_authentication_service:
  enabled: true
  endpoint: "{endpoint}/"
  secret: "{secret}"
"""
TABLES = """
[homeserver]
kind = "synapse"
url = "{synapse}"
secret_file = "{directory}/synapse.secret"
[outbound]
ca_file = "{ca_file}"
[sms]
countries = ["GB"]
via = [{{ transport = "http", url = "{sms}", body = '{{"to": "{{to}}", "text": "{{text}}"}}' }}]
"""
pytestmark = [needs_synapse, pytest.mark.timeout(180)]


class Neighbours:
    """Synapse and threepid with one name, and another homeserver."""

    def __init__(self, threepid: ServerProcess, synapse: FederatedSynapse, other: FederatedSynapse, post: Post) -> None:
        self.threepid, self.synapse, self.other, self.post = threepid, synapse, other, post

    def register(self, name: str) -> Person:
        with self.threepid.client(verify=trust()) as http:
            body = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
            answer = http.post(f"{V3}/register", json=body)
        assert answer.status_code == 200, answer.text
        return Person(self.synapse, answer.json()["user_id"], answer.json()["access_token"])


@pytest.fixture(scope="module")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    directory = tmp_path_factory.mktemp("neighbours")
    synapse_port = free_port()
    certificate = authority().issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(str(directory / "chain.pem"))
    for name, content in (("key.pem", certificate.private_key_pem.bytes()), ("synapse.secret", SECRET.encode())):
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)
    with post_office() as post:
        threepid = ServerProcess(
            directory / "threepid",
            name=f"localhost:{synapse_port}",
            scheme="https",
            server=f'[server.tls]\ncertificate_file = "{directory}/chain.pem"\nkey_file = "{directory}/key.pem"\n',
            via=f'{{ transport = "smtp", host = "127.0.0.1", port = {post.mail_port}, tls = "plain" }}',
            tables=TABLES.format(
                synapse=f"https://localhost:{synapse_port}", directory=directory, ca_file=authority_file(), sms=post.url
            ),
        )
        text = threepid.config.read_text().replace("[outbound]\n", '[outbound]\nallow = ["127.0.0.1/32", "::1/128"]\n')
        threepid.config.write_text(text)
        delegated = PRIVATE + DELEGATES.format(endpoint=threepid.base, secret=SECRET)
        synapse = FederatedSynapse(directory / "synapse", port=synapse_port, more=delegated)
        other = FederatedSynapse(directory / "other", more=PRIVATE + OPEN)
        try:
            with whole(threepid):
                synapse.start()
                other.start()
                yield Neighbours(threepid, synapse, other, post)
        finally:
            synapse.stop()
            other.stop()


@pytest.mark.parametrize(("medium", "address"), [("email", "bob@example.net"), ("msisdn", "447700900456")])
def test_somebody_registers_because_of_an_invitation_and_joins(
    neighbours: Neighbours, medium: str, address: str
) -> None:
    alice = IdentityAccount(neighbours.other.register(f"alice-{medium}"), neighbours.threepid.base)
    room_id = alice.person.create_room()
    alice.invite(room_id, medium, address)
    neighbours.post.invitation(address)
    bob = IdentityAccount(neighbours.register(f"bob-{medium}"), neighbours.threepid.base)
    bob.bind(neighbours.post, medium, address)
    wait_for(lambda: bob.person.invited_to(room_id), 30, what="the invitation")
    bob.person.join(room_id, neighbours.other.name)
    alice.person.say(room_id, "Welcome")
    bob.person.reads(room_id, "Welcome")
    bob.person.say(room_id, "Thank you")
    alice.person.reads(room_id, "Thank you")
    assert neighbours.synapse.times_told() > 0


def test_invitations_go_the_other_way_and_find_bound_addresses(neighbours: Neighbours) -> None:
    carol = IdentityAccount(neighbours.register("carol"), neighbours.threepid.base)
    dave = IdentityAccount(neighbours.other.register("dave"), neighbours.threepid.base)
    room_id = carol.person.create_room()
    carol.invite(room_id, "email", "dave@example.net")
    dave.bind(neighbours.post, "email", "dave@example.net")
    wait_for(lambda: dave.person.invited_to(room_id), 30, what="the invitation")
    second = carol.person.create_room()
    carol.invite(second, "email", "dave@example.net")
    wait_for(lambda: dave.person.invited_to(second), 30, what="the invitation")


def test_synapse_unbinds_by_its_own_key_and_for_accounts_that_close(neighbours: Neighbours) -> None:
    eve = IdentityAccount(neighbours.register("eve"), neighbours.threepid.base)
    frank = IdentityAccount(neighbours.other.register("frank"), neighbours.threepid.base)
    for address in ("eve@example.net", "eve2@example.net"):
        eve.bind(neighbours.post, "email", address)
        assert frank.found("email", address) == eve.person.user_id
    body = {"medium": "email", "address": "eve@example.net", "id_server": eve.name}
    assert eve.person.do("POST", "account/3pid/unbind", body) == {"id_server_unbind_result": "success"}
    assert frank.found("email", "eve@example.net") is None
    command = [sys.executable, "-m", "threepid", "account", "deactivate", "--yes", "eve"]
    subprocess.run(
        [*command, "--config", str(neighbours.threepid.config)], check=True, capture_output=True, timeout=180
    )
    wait_for(lambda: frank.found("email", "eve2@example.net") is None, 30, what="the unbinding")
