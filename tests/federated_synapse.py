"""Real Synapses on loopback that speak TLS and federate with each other, and their users."""

import itertools
import ssl
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import httpx
import signedjson.key

from authority import authority, authority_file
from real_synapse import RealSynapse
from rig import free_port, wait_for
from threepid.spec.lookup_hash import lookup_hash

V3 = "/_matrix/client/v3"
IDENTITY = "/_matrix/identity/v2"
PASSWORD = "correct horse battery"
_CONFIG = """
server_name: "{name}"
public_baseurl: "{url}/"
pid_file: "{directory}/pid"
listeners:
  - port: {port}
    type: http
    tls: true
    bind_addresses: ["127.0.0.1"]
    resources:
      - names: [client, federation]
tls_certificate_path: "{directory}/certificate.pem"
tls_private_key_path: "{directory}/key.pem"
federation_custom_ca_list: ["{ca_file}"]
database:
  name: sqlite3
  args:
    database: "{directory}/homeserver.db"
media_store_path: "{directory}/media"
signing_key_path: "{directory}/signing.key"
log_config: "{directory}/log.yaml"
report_stats: false
trusted_key_servers: []
suppress_key_server_warning: true
background_updates: {{sleep_enabled: false}}
presence: {{enabled: false}}
caches: {{sync_response_cache_duration: 0s}}
rc_login:
  address: {{per_second: 1000, burst_count: 1000}}
  account: {{per_second: 1000, burst_count: 1000}}
rc_registration: {{per_second: 1000, burst_count: 1000}}
rc_third_party_invite: {{per_second: 1000, burst_count: 1000}}
rc_3pid_validation: {{per_second: 1000, burst_count: 1000}}
{more}
"""
_numbers = itertools.count(1)


@cache
def trust() -> ssl.SSLContext:
    """What a client needs to trust the certificates of these servers."""
    return ssl.create_default_context(cafile=authority_file())


class FederatedSynapse(RealSynapse):
    """A Synapse with a server name of this machine: `localhost` and its port, so that other servers need no DNS to find it."""

    def __init__(self, directory: Path, *, port: int | None = None, more: str) -> None:
        super().__init__(directory, "http://127.0.0.1:1/", port=port or free_port())
        self.name = f"localhost:{self.port}"
        self.url = f"https://{self.name}"
        # Its calls to identity servers trust what OpenSSL trusts, not `federation_custom_ca_list`.
        self.environment = {"SSL_CERT_FILE": authority_file()}
        self.verify = trust()
        places = {"name": self.name, "url": self.url, "directory": directory, "port": self.port}
        text = _CONFIG.format(**places, ca_file=authority_file(), more=more)
        (directory / "homeserver.yaml").write_text(text)
        certificate = authority().issue_cert("localhost", "127.0.0.1")
        certificate.private_key_pem.write_to_path(str(directory / "key.pem"))
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(str(directory / "certificate.pem"), append=True)

    def start(self) -> "FederatedSynapse":
        if not (self.directory / "homeserver.db").exists():
            self._prepare()
            # The template's key is that of all other homeservers.
            key = signedjson.key.generate_signing_key(f"a{next(_numbers)}")
            with (self.directory / "signing.key").open("w") as file:
                signedjson.key.write_signing_keys(file, [key])
        self._start()
        return self

    def register(self, localpart: str) -> "Person":
        """A user of this homeserver."""
        body = {"username": localpart, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        answer = self.request("POST", f"{V3}/register", None, json=body)
        assert answer.status_code == 200, answer.text
        return Person(self, answer.json()["user_id"], answer.json()["access_token"])

    def times_told(self) -> int:
        """How often an identity server told of a bound address."""
        log = (self.directory / "synapse.log").read_text()
        return log.count('"POST /_matrix/federation/v1/3pid/onbind HTTP')


class Home(Protocol):
    """Where a client sends its requests: a homeserver, or the proxy before it."""

    def request(self, method: str, path: str, token: str | None, **more: Any) -> httpx.Response: ...


class Person:
    """A user of a homeserver."""

    def __init__(self, home: Home, user_id: str, token: str) -> None:
        self.home = home
        self.user_id = user_id
        self.token = token

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.home.request(method, f"{V3}/{path}", self.token, json=body)

    def do(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = self.ask(method, path, body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def confirm(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A request that asks for the password."""
        asked = self.ask(method, path, body)
        assert asked.status_code == 401, asked.text
        identifier = {"type": "m.id.user", "user": self.user_id}
        proof = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
        return self.do(method, path, {**body, "auth": {**proof, "session": asked.json()["session"]}})

    def contacts(self) -> list[tuple[str, str]]:
        """The contacts of the account."""
        found = self.do("GET", "account/3pid")["threepids"]
        return sorted((contact["medium"], contact["address"]) for contact in found)

    # -- rooms

    def create_room(self, name: str = "Garden") -> str:
        return str(self.do("POST", "createRoom", {"name": name, "preset": "private_chat"})["room_id"])

    def invited_to(self, room_id: str) -> bool:
        """Does the room wait for an answer?"""
        return room_id in self.do("GET", "sync").get("rooms", {}).get("invite", {})

    def join(self, room_id: str, via: str) -> None:
        """Join by a homeserver, which may learn of the invitation a moment later than the person who got it."""

        def joined() -> bool:
            answer = self.ask("POST", f"join/{room_id}?server_name={via}&via={via}", {})
            assert answer.status_code in (200, 403), answer.text
            return answer.status_code == 200

        wait_for(joined, 60, what="the room")

    def say(self, room_id: str, text: str) -> None:
        body = {"msgtype": "m.text", "body": text}
        self.do("PUT", f"rooms/{room_id}/send/m.room.message/{next(_numbers)}", body)

    def reads(self, room_id: str, text: str) -> None:
        """Wait for a message."""

        def there() -> bool:
            found = self.do("GET", f"rooms/{room_id}/messages?dir=b&limit=30")["chunk"]
            return text in [event["content"].get("body") for event in found]

        wait_for(there, 60, what=f"{text!r}")

    def member(self, room_id: str, user_id: str) -> list[dict[str, Any]]:
        """The events about a member in the order in which they were sent."""
        found = self.do("GET", f"rooms/{room_id}/messages?dir=f&limit=100")["chunk"]
        return [event for event in found if event["type"] == "m.room.member" and event["state_key"] == user_id]


class IdentityAccount:
    """What a client does with an identity server for its user."""

    def __init__(self, person: Person, base: str) -> None:
        self.person = person
        self.base = base
        self.name = base.partition("://")[2]
        openid = person.do("POST", f"user/{person.user_id}/openid/request_token", {})
        answer = self.ask("account/register", openid, token="")
        assert answer.status_code == 200, answer.text
        self.token = str(answer.json()["token"])

    def ask(self, path: str, body: dict[str, Any], token: str | None = None) -> httpx.Response:
        headers = {} if token == "" else {"Authorization": f"Bearer {token or self.token}"}
        return httpx.post(f"{self.base}{IDENTITY}/{path}", json=body, headers=headers, timeout=20, verify=trust())

    def do(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.ask(path, body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    @property
    def named(self) -> dict[str, str]:
        """How a client names this identity server to its homeserver."""
        return {"id_server": self.name, "id_access_token": self.token}

    def invite(self, room_id: str, medium: str, address: str) -> None:
        self.person.do("POST", f"rooms/{room_id}/invite", {"medium": medium, "address": address, **self.named})

    def prove(self, post: Any, medium: str, address: str) -> dict[str, str]:
        """The credentials of a validated session."""
        secret = f"secret{next(_numbers)}"
        spelled = {"email": address} if medium == "email" else {"country": "GB", "phone_number": f"+{address}"}
        asked = self.do(f"validate/{medium}/requestToken", {"client_secret": secret, "send_attempt": 1, **spelled})
        session = {"sid": asked["sid"], "client_secret": secret}
        said = self.do(f"validate/{medium}/submitToken", {**session, "token": post.code(address)})
        assert said == {"success": True}
        return session

    def bind(self, post: Any, medium: str, address: str) -> None:
        """Bind an address, through the homeserver as clients do it."""
        self.person.do("POST", "account/3pid/bind", {**self.prove(post, medium, address), **self.named})

    def bind_directly(self, session: dict[str, str]) -> None:
        """Bind an address while the homeserver is away."""
        self.do("3pid/bind", {**session, "mxid": self.person.user_id})

    def found(self, medium: str, address: str) -> str | None:
        """Whose address this is."""
        headers = {"Authorization": f"Bearer {self.token}"}
        details = httpx.get(f"{self.base}{IDENTITY}/hash_details", headers=headers, verify=trust()).json()
        body = {"algorithm": "sha256", "pepper": details["lookup_pepper"], "addresses": []}
        hashed = lookup_hash(address, medium, details["lookup_pepper"])
        mappings: dict[str, str] = self.do("lookup", {**body, "addresses": [hashed]})["mappings"]
        return mappings.get(hashed)
