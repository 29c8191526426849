"""The homeserver beside us, and the secret both ways."""

from pathlib import Path
from typing import Any

import pytest

from examined import Examined
from fake_synapse import DROP, HANG, SECRET, Called, Reply
from threepid.cli.doctor.check import OK, State
from threepid.cli.doctor.checks import homeserver
from threepid.clock import Clock, Entropy
from threepid.domain.secrets.keys import SigningKey, ensure_keyring, rotate_keyring
from threepid.spec.oauth.server import server_metadata

VERSIONS = "/_matrix/client/versions"
WHOAMI = "/_matrix/client/v3/account/whoami"
METADATA = "/_matrix/client/v1/auth_metadata"
VERSION = "/_matrix/federation/v1/version"
KEYS = "/_matrix/key/v2/server"
USERINFO = "/_matrix/federation/v1/openid/userinfo"
UNKNOWN_TOKEN = (401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Token is not active"})


def metadata(base: str) -> Any:
    import msgspec

    return msgspec.to_builtins(server_metadata(base, actions=(), may_register=True))


@pytest.fixture
def healthy(place: Examined) -> Examined:
    place.synapse.replies = {
        VERSIONS: (200, {"versions": ["v1.15"]}),
        VERSION: (200, {"server": {"name": "Synapse", "version": "1.163.2 (b=main)"}}),
        KEYS: (200, {"server_name": "example.org"}),
        USERINFO: UNKNOWN_TOKEN,
        WHOAMI: UNKNOWN_TOKEN,
        METADATA: (200, metadata(place.base)),
    }
    place.public.headers = {}
    place.public.replies = {VERSIONS: (200, {"versions": ["v1.15"]})}
    return place


@pytest.mark.parametrize("check", homeserver.CHECKS, ids=lambda check: check.name)
def test_a_synapse_that_is_set_up_is_in_order(healthy: Examined, check: Any) -> None:
    if check.where(healthy.scene().settings):
        assert healthy.ask(check) == OK


def test_nothing_is_changed_and_the_secret_is_sent_to_the_homeserver_alone(healthy: Examined) -> None:
    for check in homeserver.CHECKS:
        if check.where(healthy.scene().settings):
            healthy.ask(check)
    assert {called.method for called in (*healthy.synapse.calls, *healthy.public.calls)} == {"GET"}
    with_secret = {called.name for called in healthy.synapse.calls if SECRET in str(called.headers)}
    assert with_secret == {"query_user"}
    assert not any(SECRET in str(called.headers) for called in healthy.public.calls)


@pytest.mark.parametrize(
    ("check", "name", "reply", "change"),
    [
        (homeserver.homeserver_answers, VERSIONS, DROP, "Start Synapse"),
        (homeserver.homeserver_answers, VERSIONS, HANG, "more than 0.3 seconds"),
        (homeserver.homeserver_answers, VERSIONS, (200, b"<html>"), "correct homeserver.url"),
        (homeserver.homeserver_answers, VERSIONS, (404, {"errcode": "M_UNRECOGNIZED"}), "correct homeserver.url"),
        (homeserver.version_suffices, VERSION, (200, {"server": {"name": "Dendrite", "version": "0.13"}}), "Dendrite"),
        (homeserver.version_suffices, VERSION, (200, {"server": {"name": "Synapse", "version": "1.135.2"}}), "1.136"),
        (
            homeserver.version_suffices,
            VERSION,
            (200, {"server": {"name": "Synapse", "version": "x"}}),
            "is for Synapse",
        ),
        (homeserver.names_agree, KEYS, (200, {"server_name": "example.com"}), "example.com"),
        (homeserver.openid_tokens_are_known, USERINFO, (404, {"errcode": "M_UNRECOGNIZED"}), "add `federation`"),
        (homeserver.openid_tokens_are_known, USERINFO, (404, b"<html>"), "add `federation`"),
        (homeserver.openid_tokens_are_known, USERINFO, (500, {}), "status 500"),
        (homeserver.our_secret_is_accepted, "query_user", (403, {"errcode": "M_UNKNOWN"}), "the same secret"),
        (homeserver.our_secret_is_accepted, "query_user", (404, {"errcode": "M_UNRECOGNIZED"}), "enabled: true"),
        (homeserver.our_secret_is_accepted, "query_user", (404, b"<html>"), "enabled: true"),
        (homeserver.our_secret_is_accepted, "query_user", (500, {}), "status 500"),
        (homeserver.our_secret_is_accepted, "query_user", HANG, "more than"),
        (homeserver.tokens_are_introspected, WHOAMI, (503, {"errcode": "M_UNKNOWN"}), "endpoint"),
        (homeserver.tokens_are_introspected, WHOAMI, HANG, "endpoint"),
        (homeserver.tokens_are_introspected, WHOAMI, (500, {"errcode": "M_UNKNOWN"}), "status 500 M_UNKNOWN"),
        (homeserver.tokens_are_introspected, WHOAMI, (200, {"user_id": "@a:example.org"}), "status 200"),
        (homeserver.metadata_is_ours, METADATA, (500, {"errcode": "M_UNKNOWN"}), "endpoint"),
        (homeserver.metadata_is_ours, METADATA, (404, {"errcode": "M_UNRECOGNIZED"}), "endpoint"),
        (homeserver.metadata_is_ours, METADATA, (200, metadata("https://old.example")), "https://old.example/"),
        (homeserver.metadata_is_ours, METADATA, (200, [1]), "restart Synapse"),
    ],
)
def test_each_fault_says_what_to_change(healthy: Examined, check: Any, name: str, reply: Reply, change: str) -> None:
    healthy.seconds = 0.3
    healthy.synapse.replies[name] = reply
    found = healthy.ask(check)
    assert found.state is State.FAILURE
    assert change in found.change
    assert SECRET not in found.change


@pytest.mark.parametrize(("check", "name"), [(homeserver.version_suffices, VERSION), (homeserver.names_agree, KEYS)])
def test_a_listener_without_federation_leaves_a_question_open(healthy: Examined, check: Any, name: str) -> None:
    healthy.synapse.replies[name] = (404, b"<html>")
    assert healthy.ask(check).state is State.NOT_ASKED


def test_our_own_url_is_not_taken_for_a_homeserver(healthy: Examined) -> None:
    healthy.synapse.headers["X-Answered-By"] = "threepid"
    assert "Synapse's own listener" in healthy.ask(homeserver.homeserver_answers).change


def test_an_unreadable_secret_is_told(healthy: Examined, tmp_path: Path) -> None:
    healthy.changes["homeserver__secret_file"] = str(tmp_path / "missing")
    found = healthy.ask(homeserver.our_secret_is_accepted)
    assert (found.state, "homeserver.secret_file" in found.change) == (State.FAILURE, True)


def test_synapse_gets_another_token_each_time(healthy: Examined) -> None:
    """It remembers each answer for two minutes."""
    sent: list[str] = []

    def note(called: Called) -> Any:
        sent.append(called.headers["authorization"])
        return UNKNOWN_TOKEN

    healthy.synapse.replies[WHOAMI] = note
    for _ in range(2):
        healthy.ask(homeserver.tokens_are_introspected)
    assert len(set(sent)) == 2


def test_metadata_from_before_a_change_is_told(healthy: Examined) -> None:
    healthy.public.headers = {"X-Answered-By": "threepid"}
    changed = {**metadata(healthy.base), "prompt_values_supported": []}
    healthy.public.replies["/.well-known/openid-configuration"] = (200, changed)
    found = healthy.ask(homeserver.metadata_is_fresh)
    assert (found.state, "restart Synapse" in found.change) == (State.WARNING, True)


# -- who unbinds


def published(*keys: SigningKey, name: str = "example.org") -> Reply:
    """What a homeserver with these signing keys publishes."""
    return 200, {"server_name": name, "verify_keys": {key.key_id: {"key": key.public_key} for key in keys}}


@pytest.fixture
def binding(healthy: Examined) -> Examined:
    """This server answers `3pid/bind`, and signs with the homeserver's key."""
    healthy.changes["homeserver__binds"] = "threepid"
    healthy.synapse.replies[KEYS] = published(ensure_keyring(healthy.directory / "keys", Entropy()).current)
    return healthy


def test_the_homeservers_key_unbinds(binding: Examined) -> None:
    assert binding.ask(homeserver.unbinds_are_believed) == OK


def test_another_key_would_unbind_nothing(binding: Examined) -> None:
    rotate_keyring(binding.directory / "keys", Entropy(), Clock())
    found = binding.ask(homeserver.unbinds_are_believed)
    assert (found.state, "threepid keys import" in found.change) == (State.FAILURE, True)
    assert 'homeserver.binds = "homeserver"' in found.change


def test_a_key_of_the_same_id_is_not_enough(binding: Examined, tmp_path: Path) -> None:
    other = ensure_keyring(tmp_path / "others", Entropy()).current
    assert other.key_id == ensure_keyring(binding.directory / "keys", Entropy()).current.key_id
    binding.synapse.replies[KEYS] = published(other)
    assert binding.ask(homeserver.unbinds_are_believed).state is State.FAILURE


def test_without_a_key_of_ours_or_theirs_it_is_told(binding: Examined) -> None:
    binding.synapse.replies[KEYS] = (404, b"<html>")
    assert binding.ask(homeserver.unbinds_are_believed).state is State.NOT_ASKED
    binding.changes["server__data_dir"] = str(binding.directory / "elsewhere")
    assert "no signing key" in binding.ask(homeserver.unbinds_are_believed).change


def test_where_the_homeserver_binds_nobody_asks(healthy: Examined) -> None:
    assert not homeserver.unbinds_are_believed.where(healthy.scene().settings)


def test_without_an_identity_server_nobody_asks_for_openid_tokens(healthy: Examined) -> None:
    assert homeserver.openid_tokens_are_known.where(healthy.scene().settings)
    healthy.changes["identity"] = None
    assert not homeserver.openid_tokens_are_known.where(healthy.scene().settings)


@pytest.mark.parametrize("reply", [(200, {"versions": ["v1.1"]}), (502, b"")])
def test_a_public_url_with_another_homeserver_is_told(healthy: Examined, reply: Reply) -> None:
    healthy.public.replies[VERSIONS] = reply
    assert healthy.ask(homeserver.public_url_has_the_homeserver).state is State.FAILURE
