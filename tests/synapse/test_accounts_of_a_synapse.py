"""People of a real Synapse that lets threepid authenticate them."""

import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from real_synapse import cross_signing_keys
from rig import wait_for
from synapse.conftest import Pair

V3 = "/_matrix/client/v3"
PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


class Person:
    """An account that was registered at threepid, and its first token."""

    def __init__(self, servers: Pair) -> None:
        self.servers = servers
        self.name = f"person{next(_numbers)}"
        self.user_id = f"@{self.name}:example.org"
        answer = self.ask(
            "POST",
            "register",
            {"username": self.name, "password": PASSWORD, "device_id": "FIRST", "auth": {"type": "m.login.dummy"}},
        )
        assert answer.status_code == 200, answer.text
        self.token: str = answer.json()["access_token"]

    @property
    def password_auth(self) -> dict[str, Any]:
        identifier = {"type": "m.id.user", "user": self.name}
        return {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with self.servers.threepid.client() as http:
            return http.request(method, f"{V3}/{path}", json=body, headers=headers)

    def log_in(self, device_id: str) -> str:
        answer = self.ask("POST", "login", {**self.password_auth, "device_id": device_id})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


@pytest.fixture
def person(servers: Pair) -> Person:
    return Person(servers)


def operate(servers: Pair, *command: str) -> subprocess.CompletedProcess[str]:
    """A command of the operator."""
    whole = [sys.executable, "-m", "threepid", *command, "--config", str(servers.threepid.config)]
    return subprocess.run(whole, capture_output=True, text=True, timeout=180)


def is_dead(servers: Pair, token: str) -> Callable[[], bool]:
    return lambda: servers.synapse.whoami(token).status_code == 401


def test_a_new_account_uses_rooms_with_its_first_token(servers: Pair, person: Person) -> None:
    whoami = servers.synapse.whoami(person.token)
    assert whoami.json() == {"user_id": person.user_id, "is_guest": False, "device_id": "FIRST"}
    room = servers.synapse.request("POST", f"{V3}/createRoom", person.token, json={"name": "Here"})
    assert room.status_code == 200, room.text
    sent = servers.synapse.request(
        "PUT",
        f"{V3}/rooms/{room.json()['room_id']}/send/m.room.message/1",
        person.token,
        json={"msgtype": "m.text", "body": "Hello"},
    )
    assert sent.status_code == 200, sent.text


def test_another_login_is_another_device_there(servers: Pair, person: Person) -> None:
    laptop = person.log_in("LAPTOP")
    assert servers.synapse.device_ids(laptop) == ["FIRST", "LAPTOP"]
    again = person.log_in("LAPTOP")
    assert servers.synapse.whoami(again).status_code == 200
    assert servers.synapse.device_ids(again) == ["FIRST", "LAPTOP"]


def test_a_logged_out_token_dies_at_once_although_it_was_cached(servers: Pair, person: Person) -> None:
    laptop = person.log_in("LAPTOP")
    assert servers.synapse.whoami(laptop).status_code == 200
    assert person.ask("POST", "logout", {}, laptop).status_code == 200
    wait_for(is_dead(servers, laptop), 20, what="the end of the token")
    assert servers.synapse.device_ids(person.token) == ["FIRST"]


def test_a_deleted_device_dies_and_the_others_live(servers: Pair, person: Person) -> None:
    laptop, tablet = person.log_in("LAPTOP"), person.log_in("TABLET")
    for token in (laptop, tablet):
        assert servers.synapse.whoami(token).status_code == 200
    answer = person.ask("DELETE", "devices/LAPTOP", {"auth": person.password_auth}, person.token)
    assert answer.status_code == 200, answer.text
    wait_for(is_dead(servers, laptop), 20, what="the end of the token")
    assert servers.synapse.whoami(tablet).status_code == 200


def test_a_new_password_that_logs_others_out_does_so_there(servers: Pair, person: Person) -> None:
    laptop = person.log_in("LAPTOP")
    assert servers.synapse.whoami(laptop).status_code == 200
    body = {"new_password": "another battery staple", "logout_devices": True, "auth": person.password_auth}
    assert person.ask("POST", "account/password", body, person.token).status_code == 200
    wait_for(is_dead(servers, laptop), 20, what="the end of the token")
    assert servers.synapse.whoami(person.token).status_code == 200


def test_names_of_the_homeserver_are_taken(servers: Pair, person: Person) -> None:
    servers.synapse.mas("provision_user", localpart="only-there")
    for name in ("only-there", person.name):
        answer = person.ask("GET", f"register/available?username={name}")
        assert (answer.status_code, answer.json()["errcode"]) == (400, "M_USER_IN_USE")


def test_a_closed_account_is_deactivated_there_with_its_devices(servers: Pair, person: Person) -> None:
    assert servers.synapse.whoami(person.token).status_code == 200
    answer = person.ask("POST", "account/deactivate", {"auth": person.password_auth}, person.token)
    assert answer.status_code == 200, answer.text
    wait_for(is_dead(servers, person.token), 20, what="the end of the token")
    known = servers.synapse.query_user(person.name)
    assert known is not None
    assert known["is_deactivated"]


def test_a_homeserver_that_is_away_gives_no_tokens_and_logs_nobody_out(servers: Pair, person: Person) -> None:
    laptop = person.log_in("LAPTOP")
    servers.synapse.stop()
    try:
        answer = person.ask("POST", "login", {**person.password_auth, "device_id": "TABLET"})
        assert (answer.status_code, answer.json()["errcode"]) == (503, "M_UNKNOWN")
        assert person.ask("POST", "logout", {}, laptop).status_code == 200
    finally:
        servers.synapse.start()
    assert servers.synapse.whoami(person.token).status_code == 200
    wait_for(lambda: servers.synapse.device_ids(person.token) == ["FIRST"], 60, what="the end of the device")
    assert servers.synapse.whoami(person.log_in("TABLET")).json()["device_id"] == "TABLET"


def test_a_locked_account_is_refused_everywhere_and_goes_on_afterwards(servers: Pair, person: Person) -> None:
    fresh = person.log_in("LAPTOP")  # Synapse has not asked for it yet, so nothing is cached
    assert operate(servers, "account", "lock", person.name).returncode == 0
    refused = servers.synapse.whoami(fresh)
    assert (refused.status_code, refused.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    answer = person.ask("POST", "login", {**person.password_auth, "device_id": "TABLET"})
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_USER_LOCKED")
    assert operate(servers, "account", "unlock", person.name).returncode == 0
    assert servers.synapse.device_ids(person.log_in("TABLET")) == ["FIRST", "LAPTOP", "TABLET"]


def test_a_reactivated_account_signs_in_again(servers: Pair, person: Person, tmp_path: Path) -> None:
    assert operate(servers, "account", "deactivate", "--yes", person.name).returncode == 0
    wait_for(lambda: (servers.synapse.query_user(person.name) or {})["is_deactivated"], 30, what="the deactivation")
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    done = operate(servers, "account", "reactivate", "--password-file", str(password), person.name)
    assert done.returncode == 0, done.stderr
    token = person.log_in("AGAIN")
    assert servers.synapse.whoami(token).json()["device_id"] == "AGAIN"


def test_keys_are_replaced_once_after_the_owner_has_allowed_it(servers: Pair, person: Person) -> None:
    assert _upload_keys(servers, person, "one").status_code == 200, "the first keys need nothing"
    refused = _upload_keys(servers, person, "two")
    assert refused.status_code == 401
    url = refused.json()["params"]["m.oauth"]["url"]
    assert url.endswith("/account/?action=org.matrix.cross_signing_reset")
    with servers.threepid.client(follow_redirects=True) as browser:
        page = browser.get(url)
        for _ in range(3):  # sign in, perhaps confirm, then the page itself
            page = browser.post(
                str(page.url),
                data=_form(page.text, name=person.name, password=PASSWORD),
                headers={"Origin": servers.threepid.base},
            )
            if "once, within ten minutes" in page.text:
                break
    assert "once, within ten minutes" in page.text, page.text
    assert _upload_keys(servers, person, "two").status_code == 200
    assert _upload_keys(servers, person, "three").status_code == 401


def _form(html: str, **values: str) -> dict[str, str]:
    """The fields of the first form of a page, filled in."""
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', html))
    return {**fields, **values}


def _upload_keys(servers: Pair, person: Person, seed: str) -> httpx.Response:
    path = f"{V3}/keys/device_signing/upload"
    return servers.synapse.request("POST", path, person.token, json=cross_signing_keys(person.user_id, seed))
