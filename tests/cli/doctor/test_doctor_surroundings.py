"""The configuration, the database, and what messages go through."""

import socket
from pathlib import Path

from examined import Examined
from rig import free_port
from threepid.cli.doctor.check import OK, State
from threepid.cli.doctor.checks import surroundings


def test_a_database_that_cannot_be_used_is_told(place: Examined, tmp_path: Path) -> None:
    assert place.ask(surroundings.database_answers) == OK
    place.changes["database__url"] = f"sqlite:{tmp_path}"
    found = place.ask(surroundings.database_answers)
    assert (found.state, "[database] url" in found.change) == (State.FAILURE, True)


def test_an_unsafe_configuration_is_told(place: Examined) -> None:
    place.changes["server__public_base_url"] = "http://matrix.example.org"
    found = place.ask(surroundings.configuration_is_safe)
    assert (found.state, "[server] public_base_url" in found.change) == (State.FAILURE, True)


def test_a_relay_that_is_away_is_told(place: Examined) -> None:
    via = {"transport": "smtp", "host": "127.0.0.1", "port": free_port(), "tls": "plain"}
    place.changes["email__via"] = [via]
    found = place.ask(surroundings.relays_accept_us)
    assert (found.state, "[email] via[0]" in found.change) == (State.FAILURE, True)


def test_a_gateway_must_accept_connections(place: Examined) -> None:
    port = free_port()
    via = {"transport": "http", "url": f"http://127.0.0.1:{port}/send?key=private-key", "body": "{to} {text}"}
    place.changes |= {"sms__countries": ["GB"], "sms__via": [via]}
    found = place.ask(surroundings.gateways_accept_connections)
    assert (found.state, f"127.0.0.1:{port}" in found.change) == (State.FAILURE, True)
    assert "private-key" not in found.change
    with socket.create_server(("127.0.0.1", port)):
        assert place.ask(surroundings.gateways_accept_connections) == OK


def test_a_server_that_can_send_nothing_is_told(place: Examined) -> None:
    place.changes["email"] = None
    assert surroundings.something_can_be_sent.where(place.scene().settings)
    assert place.ask(surroundings.something_can_be_sent).state is State.WARNING
