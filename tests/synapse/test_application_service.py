"""A bridge beside Synapse: its requests go through nginx and threepid, and Synapse answers them."""

import itertools
from typing import Any

import httpx
import pytest

from one_origin import AS_TOKEN, V3, OneOrigin

_numbers = itertools.count(1)


class Bridged:
    """A user whom the bridge registered, as whom it acts."""

    def __init__(self, origin: OneOrigin) -> None:
        self.origin = origin
        self.localpart = f"irc_{next(_numbers)}"
        self.user_id = f"@{self.localpart}:{origin.name}"
        answer = register(origin, self.localpart, inhibit_login=True)
        assert (answer.status_code, answer.json()["user_id"]) == (200, self.user_id), answer.text

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> httpx.Response:
        parameters = {"user_id": self.user_id, **query}
        return self.origin.request(method, f"{V3}/{path}", AS_TOKEN, json=body, params=parameters)


def register(origin: OneOrigin, localpart: str, **more: Any) -> httpx.Response:
    body = {"type": "m.login.application_service", "username": localpart, **more}
    return origin.request("POST", f"{V3}/register", AS_TOKEN, json=body)


@pytest.fixture
def bridged(origin: OneOrigin) -> Bridged:
    return Bridged(origin)


def test_it_acts_as_its_user(bridged: Bridged) -> None:
    assert bridged.ask("GET", "account/whoami").json()["user_id"] == bridged.user_id
    room_id = bridged.ask("POST", "createRoom", {}).json()["room_id"]
    sent = bridged.ask("PUT", f"rooms/{room_id}/send/m.room.message/1", {"msgtype": "m.text", "body": "From IRC"})
    assert sent.status_code == 200, sent.text


def test_it_makes_and_deletes_devices_of_its_user(bridged: Bridged) -> None:
    made = bridged.ask("PUT", "devices/BRIDGE", {"display_name": "Bridge"})
    assert made.status_code in {200, 201}, made.text
    named = bridged.ask("GET", "account/whoami", device_id="BRIDGE")
    assert named.json()["device_id"] == "BRIDGE"
    assert bridged.ask("DELETE", "devices/BRIDGE", {}).status_code == 200
    assert bridged.ask("GET", "devices").json()["devices"] == []


def test_nobody_logs_in_as_an_application_service(origin: OneOrigin, bridged: Bridged) -> None:
    """Tokens are threepid's, which does not know the bridge: a bridge has its own token for everything."""
    body = {"type": "m.login.application_service", "identifier": {"type": "m.id.user", "user": bridged.localpart}}
    answer = origin.request("POST", f"{V3}/login", AS_TOKEN, json=body)
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_APPSERVICE_LOGIN_UNSUPPORTED")
    flows = origin.request("GET", f"{V3}/login", None).json()["flows"]
    assert "m.login.application_service" not in [flow["type"] for flow in flows]


def test_a_registration_that_wants_a_token_is_refused_by_synapse(origin: OneOrigin) -> None:
    answer = register(origin, f"irc_{next(_numbers)}")
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_APPSERVICE_LOGIN_UNSUPPORTED")


def test_its_names_are_nobody_elses(origin: OneOrigin, bridged: Bridged) -> None:
    for name in ("irc_nobody", bridged.localpart):
        answer = origin.request("GET", f"{V3}/register/available?username={name}", None)
        assert (answer.status_code, answer.json()["errcode"]) == (400, "M_EXCLUSIVE")
    outside = register(origin, "not_of_irc", inhibit_login=True)
    assert (outside.status_code, outside.json()["errcode"]) == (400, "M_EXCLUSIVE")


def test_a_token_of_nobody_is_no_application_service(origin: OneOrigin) -> None:
    body = {"type": "m.login.application_service", "username": "irc_stranger", "inhibit_login": True}
    answer = origin.request("POST", f"{V3}/register", "token-of-nobody", json=body)
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")
