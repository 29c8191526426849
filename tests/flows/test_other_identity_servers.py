"""An identity server that is trusted by name is really called, over HTTPS; the peer is this server itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from rig import ServerProcess, free_port, identity_token, register, request_token, sink

PATH = "/_matrix/client/r0/account/3pid"


class Pair:
    """A homeserver, and another server that is the identity server; both speak TLS."""

    def __init__(self, directory: Path, relay_port: int) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(directory / "ca.pem")
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(directory / "cert.pem")
        (directory / "cert.pem").chmod(0o600)
        tls = f'tls = {{ certificate_file = "{directory}/cert.pem", key_file = "{directory}/cert.pem" }}'
        outbound = f'[outbound]\nallow = ["127.0.0.0/8", "::1"]\nca_file = "{directory}/ca.pem"\n'
        via = f'{{ transport = "smtp", host = "127.0.0.1", port = {relay_port}, tls = "plain" }}'
        self.peer = ServerProcess(directory / "peer", server=tls, scheme="https", tables=outbound + V1_ON, via=via)
        self.home = ServerProcess(
            directory / "home",
            server=tls,
            scheme="https",
            tables=outbound,
            accounts=f'trusted_identity_servers = ["localhost:{self.peer.port}"]',
            via=via,
        )
        self.ca_file = str(directory / "ca.pem")


SUCCESS = {"id_server_unbind_result": "success"}
V1_ON = "[identity.v1]\nvalidate = true\nbind = true\n"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Pair, Any]]:
    with sink() as (taken, port):
        made = Pair(tmp_path, port)
        made.peer.start()
        made.home.start()
        yield made, taken
        assert made.home.stop() == 0
        assert made.peer.stop() == 0


def test_a_session_of_a_trusted_server_is_asked_for_added_and_bound(pair: tuple[Pair, Any]) -> None:
    servers, taken = pair
    import ssl

    from rig import wait_for

    verify = ssl.create_default_context(cafile=servers.ca_file)
    with servers.home.client(verify=verify) as home, servers.peer.client(verify=verify) as peer:
        token = register(home, "alice")
        user_id = f"@alice:localhost:{servers.home.port}"
        openid = home.post(
            f"/_matrix/client/v3/user/{user_id}/openid/request_token",
            json={},
            headers={"Authorization": f"Bearer {token}"},
        ).json()
        # The peer asks the homeserver over HTTPS whose token this is.
        identity = peer.post("/_matrix/identity/v2/account/register", json=openid).json()["token"]
        whose = peer.get("/_matrix/identity/v2/account", headers={"Authorization": f"Bearer {identity}"})
        assert whose.json() == {"user_id": user_id}
        sid = request_token(peer, identity, "Alice@example.com").json()["sid"]
        body = {
            "three_pid_creds": {
                "sid": sid,
                "client_secret": "secret",
                "id_server": f"localhost:{servers.peer.port}",
                "id_access_token": identity,
            },
            "bind": True,
        }
        headers = {"Authorization": f"Bearer {token}"}
        early = home.post(PATH, json=body, headers=headers)
        assert (early.status_code, early.json()["errcode"]) == (403, "M_THREEPID_AUTH_FAILED")
        wait_for(lambda: taken.mails)
        assert peer.post(taken.mails[0].path).status_code == 200
        assert home.post(PATH, json=body, headers=headers).json() == {}
        (threepid,) = home.get(PATH, headers=headers).json()["threepids"]
        assert threepid["address"] == "alice@example.com"
        assert threepid["added_at"] >= threepid["validated_at"] > 1_600_000_000_000
        # The same again is no error, and the address was bound at the peer.
        assert home.post(PATH, json=body, headers=headers).status_code == 200
        assert lookup(peer, identity, "alice@example.com") == user_id


def test_what_is_bound_is_unbound_by_a_signature_that_the_peer_verifies(pair: tuple[Pair, Any]) -> None:
    import ssl

    from rig import wait_for

    servers, taken = pair
    verify = ssl.create_default_context(cafile=servers.ca_file)
    with servers.home.client(verify=verify) as home, servers.peer.client(verify=verify) as peer:
        token = register(home, "alice")
        headers = {"Authorization": f"Bearer {token}"}
        user_id = f"@alice:localhost:{servers.home.port}"
        openid = home.post(f"/_matrix/client/v3/user/{user_id}/openid/request_token", json={}, headers=headers).json()
        identity = peer.post("/_matrix/identity/v2/account/register", json=openid).json()["token"]
        id_server = f"localhost:{servers.peer.port}"

        def publish(secret: str) -> None:
            sid = request_token(peer, identity, "alice@example.com", secret=secret).json()["sid"]
            bind = {"sid": sid, "client_secret": secret, "id_server": id_server, "id_access_token": identity}
            early = home.post(f"{PATH}/bind", json=bind, headers=headers)
            assert (early.status_code, early.json()["errcode"]) == (400, "M_SESSION_NOT_VALIDATED")
            mail = wait_for(lambda: taken.mails and taken.mails.pop())
            assert peer.post(mail.path).status_code == 200
            assert home.post(f"{PATH}/bind", json=bind, headers=headers).json() == {}
            assert lookup(peer, identity, "alice@example.com") == user_id

        publish("first")
        address = {"medium": "email", "address": "alice@example.com"}
        assert home.post(f"{PATH}/unbind", json=address, headers=headers).json() == SUCCESS
        assert lookup(peer, identity, "alice@example.com") is None
        publish("second")
        auth = {"type": "m.login.password", "user": "alice", "password": "long enough"}
        ended = home.post("/_matrix/client/v3/account/deactivate", json={"auth": auth}, headers=headers)
        assert ended.json() == SUCCESS
        reader = identity_token(peer, register(peer, "reader"))
        assert lookup(peer, reader, "alice@example.com") is None


def test_a_client_of_2016_without_a_token_is_served_over_v1(pair: tuple[Pair, Any]) -> None:
    import ssl

    from rig import wait_for

    servers, taken = pair
    verify = ssl.create_default_context(cafile=servers.ca_file)
    with servers.home.client(verify=verify) as home, servers.peer.client(verify=verify) as peer:
        token = register(home, "bob")
        sid = peer.post(
            "/_matrix/identity/api/v1/validate/email/requestToken",
            data={"client_secret": "secret", "email": "bob@example.com", "send_attempt": "1"},
        ).json()["sid"]
        wait_for(lambda: taken.mails)
        answer = peer.post(
            "/_matrix/identity/api/v1/validate/email/submitToken",
            params={"sid": sid, "client_secret": "secret", "token": taken.mails[0].code},
            content=b"null",
        )
        assert answer.json() == {"success": True}
        creds = {"sid": sid, "clientSecret": "secret", "idServer": f"localhost:{servers.peer.port}"}
        answer = home.post(f"{PATH}?access_token={token}", json={"threePidCreds": creds, "bind": True})
        assert answer.json() == {}
        (threepid,) = home.get(f"{PATH}?access_token={token}").json()["threepids"]
        assert threepid["address"] == "bob@example.com"
        own = identity_token(peer, register(peer, "reader"))
        assert lookup(peer, own, "bob@example.com") == f"@bob:localhost:{servers.home.port}"


def test_servers_that_are_not_trusted_or_not_there(pair: tuple[Pair, Any]) -> None:
    import ssl

    servers, _ = pair
    with servers.home.client(verify=ssl.create_default_context(cafile=servers.ca_file)) as home:
        token = register(home, "carol")
        headers = {"Authorization": f"Bearer {token}"}

        def post(id_server: str) -> tuple[int, str]:
            creds = {"sid": "x", "client_secret": "secret", "id_server": id_server}
            answer = home.post(PATH, json={"three_pid_creds": creds}, headers=headers)
            return answer.status_code, answer.json()["errcode"]

        for name in ("evil.example", f"localhost:{free_port()}", "localhost", "127.0.0.1", "", "x y", f"{'x' * 300}"):
            assert post(name)[0] == 400, name
        assert post("evil.example") == (400, "M_SERVER_NOT_TRUSTED")
        assert post(f"localhost:{servers.home.port}") == (403, "M_THREEPID_AUTH_FAILED")
        servers.peer.stop()
        assert post(f"localhost:{servers.peer.port}") == (502, "M_UNKNOWN")
        servers.peer.start()


def lookup(http: Any, identity: str, address: str) -> str | None:
    import hashlib
    from base64 import urlsafe_b64encode

    headers = {"Authorization": f"Bearer {identity}"}
    pepper = http.get("/_matrix/identity/v2/hash_details", headers=headers).json()["lookup_pepper"]
    digest = hashlib.sha256(f"{address} email {pepper}".encode()).digest()
    hashed = urlsafe_b64encode(digest).rstrip(b"=").decode()
    body = {"algorithm": "sha256", "pepper": pepper, "addresses": [hashed]}
    mappings = http.post("/_matrix/identity/v2/lookup", json=body, headers=headers).json()["mappings"]
    found: str | None = mappings.get(hashed)
    return found
