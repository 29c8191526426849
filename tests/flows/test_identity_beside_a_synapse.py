"""The identity server of a threepid whose rooms, OpenID tokens and keys are those of the Synapse beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beside import GUEST, I2, ON_BIND, USERINFO, Beside, beside_a_synapse
from threepid.storage import outbox


@pytest.fixture
def beside(database_url: str, tmp_path: Path) -> Iterator[Beside]:
    with beside_a_synapse(database_url, tmp_path) as made:
        made.synapse.replies[ON_BIND] = lambda called: (200, {}) if called.method == "POST" else (405, {})
        yield made


def test_an_openid_token_of_the_homeserver_signs_in(beside: Beside) -> None:
    account = beside.world.get(f"{I2}/account", token=beside.identity_token())
    assert account.json() == {"user_id": "@alice:example.org"}


def test_a_homeserver_that_is_away_is_named_as_the_cause(beside: Beside) -> None:
    beside.synapse.stop()
    answer = beside.register_identity("alice")
    assert (answer.status_code, answer.json()["error"]) == (502, "The homeserver is unreachable.")


def test_a_listener_without_federation_is_in_the_log(beside: Beside, capsys: pytest.CaptureFixture[str]) -> None:
    beside.synapse.replies[USERINFO] = (404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"})
    assert beside.register_identity("canary").status_code == 401
    written = capsys.readouterr().out
    assert "its listener lacks the resource federation" in written
    assert "homeserver.url" in written
    assert "canary" not in written


def test_an_invitation_reaches_the_homeserver_that_has_the_room(beside: Beside) -> None:
    body: dict[str, Any] = {
        "medium": "email", "address": GUEST, "room_id": "!garden:example.org", "sender": "@alice:example.org",
    }  # fmt: skip
    stored = beside.world.post(f"{I2}/store-invite", body, token=beside.identity_token())
    assert stored.status_code == 200, stored.text
    beside.bind(beside.identity_token("guest"), "guest")
    beside.deliver()
    put, post = beside.calls(ON_BIND)
    assert (put.method, post.method) == ("PUT", "POST")
    (told,) = post.body["invites"]
    assert (told["mxid"], told["signed"]["token"]) == ("@guest:example.org", stored.json()["token"])
    beside.deliver()
    assert len(beside.calls(ON_BIND)) == 2


def test_an_invitation_waits_for_a_homeserver_that_is_away(beside: Beside) -> None:
    body: dict[str, Any] = {
        "medium": "email", "address": GUEST, "room_id": "!garden:example.org", "sender": "@alice:example.org",
    }  # fmt: skip
    assert beside.world.post(f"{I2}/store-invite", body, token=beside.identity_token()).status_code == 200
    beside.bind(beside.identity_token("guest"), "guest")
    beside.synapse.stop()
    beside.deliver()
    assert waits(beside)
    beside.synapse.start()
    beside.world.clock.advance(60_000)
    beside.deliver()
    assert [called.method for called in beside.calls(ON_BIND)] == ["PUT", "POST"]
    assert not waits(beside)


def waits(beside: Beside) -> bool:
    """Does the outbox hold a call about an invitation?"""
    database = beside.world.server.context.database
    found = beside.world.run(database.read(lambda tx: outbox.listed(tx, failed=False, after=None, count=99)))
    return "onbind" in [job.channel for job in found]
