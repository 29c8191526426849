"""What is kept, and how long: the guide names every table, and the housekeeping keeps its word."""

import json
import re
from pathlib import Path
from typing import Any

from oauth_app import App
from threepid import background
from threepid.clock import DAY, HOUR, MINUTE
from threepid.domain.lifecycle.export import MEMBERS
from threepid.domain.operators.operator import Operator
from threepid.domain.origin import Origin
from threepid.importers.copying.tables import all_tables
from threepid.spec.operator_scopes import Scope
from threepid.storage import limits, outbox, preferences, suppressions, terms, validations
from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Queries
from world import PASSWORD, World

ALICE = "@alice:example.org"
GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "retention.md"


def test_the_guide_names_every_table_of_the_database_and_no_other() -> None:
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", GUIDE.read_text(), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([a-z_]+)`", row)]
    assert sorted(named) == sorted(table.name for table in all_tables())


def test_the_report_of_remains_covers_every_column_that_may_name_an_account() -> None:
    query = Queries("remains").of_account.sqlite
    for table in all_tables():
        for column in {"user_id", "mxid", "sender", "bound_to", "signed_for", "owner"} & {*table.columns}:
            assert re.search(rf"FROM {table.name} WHERE [^;\n]*\b{column} = :user_id", query), (table.name, column)


def finish(world: World, count: int) -> None:
    """Insert messages that have failed at this moment."""
    now = world.clock.now()

    def step(tx: Tx) -> None:
        for number in range(count):
            outbox.insert(
                tx,
                job_id=f"{now}-{number}",
                channel="email",
                recipient="a@example.com",
                language="en",
                template="code",
                params="{}",
                created_at=now,
                due_at=now,
                expires_at=now,
                held_back="suppressed",
            )

    world.run(world.database.write_aside(step))


def report(world: World, address: str) -> None:
    """Record a bounce of this moment."""
    now = world.clock.now()
    reported: dict[str, Any] = {
        "canonical": address,
        "kind": "bounce",
        "status": "5.1.1",
        "message_id": "x",
        "now": now,
    }
    world.run(world.database.write(lambda tx: suppressions.record(tx, **reported)))


def choose_and_prove(tx: Tx) -> None:
    """Give Alice a language, accepted terms, and an address that she proved at another identity server."""
    preferences.set_language(tx, ALICE, "de")
    terms.accept(tx, ALICE, document="privacy", version="1", now=1)
    proved: dict[str, Any] = {"user_id": ALICE, "medium": "email", "canonical": "alice@example.net", "used_at": 1}
    assert validations.use_remote(tx, id_server="is.example", sid_hash=b"x", **proved)


def keep_house(world: World) -> int:
    return world.run(background.run_once(world.server.context))


def test_finished_messages_go_after_the_days_of_the_setting(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, retention__messages_days=3) as world:
        finish(world, 2)
        world.clock.advance(3 * DAY - 1)
        assert keep_house(world) == 0
        world.clock.advance(1)
        finish(world, 1)
        assert keep_house(world) == 2
        assert keep_house(world) == 0


def test_a_waiting_message_is_not_deleted_however_old_it_is(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, retention__messages_days=1) as world:
        world.request_token(world.identity_token(world.register()), "alice@example.com")
        world.clock.advance(2 * DAY)
        assert world.run(world.database.read(outbox.depth)) == 1
        keep_house(world)
        assert world.run(world.database.read(outbox.depth)) == 1


def test_many_rows_are_deleted_in_several_transactions(world: World) -> None:
    finish(world, 2 * background.BATCH + 1)
    world.clock.advance(30 * DAY)
    before = world.database.writes
    keep_house(world)
    batched = world.database.writes - before
    before = world.database.writes
    keep_house(world)
    assert batched == world.database.writes - before + 2


def test_an_address_gets_mails_again_after_the_days_of_the_setting(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, retention__suppressions_days=10) as world:
        report(world, "often@example.com")
        report(world, "once@example.com")
        world.clock.advance(5 * DAY)
        report(world, "often@example.com")
        world.clock.advance(5 * DAY + 1)
        assert keep_house(world) == 1
        left = world.run(world.database.read(lambda tx: suppressions.listed(tx, after="", count=9)))
        assert [one.canonical for one in left] == ["often@example.com"]


def test_of_an_erased_account_only_its_name_remains(world: World) -> None:
    """The account has everything that an account can have: contact, binding, devices, profile, terms, identity token."""
    token = world.register()
    bearer = {"token": token}
    identity = world.identity_token(token)
    world.add(token, world.validated(identity), bind=True)
    world.run(world.server.worker.run_once())
    assert (
        world.call(
            "PUT", "/_matrix/client/v3/profile/@alice:example.org/displayname", {"displayname": "A"}, **bearer
        ).status_code
        == 200
    )
    world.post(
        "/_matrix/client/v3/login",
        {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD},
    )
    world.run(world.database.write(choose_and_prove))

    def remains() -> dict[str, int]:
        found = world.run(world.homeserver.directory.remains(ALICE))
        return {one.table_name: one.count for one in found}

    before = remains()
    assert {
        "accounts",
        "devices",
        "access_tokens",
        "profiles",
        "threepids",
        "threepid_bindings",
        "associations",
    } <= before.keys()
    assert {"preferences", "accepted_terms", "remote_sessions", "audit_log"} <= before.keys()
    world.run(world.homeserver.closing.close_by_operator(ALICE, erase=True))
    world.run(world.server.worker.run_once())
    assert remains() == {"accounts": 1, "validation_sessions": 1}
    world.clock.advance(2 * DAY)
    keep_house(world)
    assert remains() == {"accounts": 1}
    again: dict[str, Any] = {
        "user_id": "@bob:example.org",
        "medium": "email",
        "canonical": "b@example.net",
        "used_at": 2,
    }
    assert not world.run(
        world.database.write(lambda tx: validations.use_remote(tx, id_server="is.example", sid_hash=b"x", **again))
    )


EXPORTED = {
    "accounts": "account", "profiles": "profile", "preferences": "preferences", "threepids": "contacts",
    "threepid_bindings": "bindings", "remote_sessions": "proofs", "accepted_terms": "accepted_terms", "devices": "devices",
    "web_sessions": "browser_sessions", "oauth_sessions": "apps", "validation_sessions": "validations",
    "associations": "associations", "invites": "invitations", "outbox": "messages", "suppressions": "suppressions",
    "audit_log": "security_log",
}  # fmt: skip
"""The member of the file that has the rows of a table."""
ONLY_HASHES = {
    "access_tokens", "refresh_tokens", "ended_tokens", "openid_tokens", "login_tokens", "identity_tokens",
    "oauth_codes", "oauth_device_grants", "uia_sessions", "registration_repeats", "association_hashes",
    "homeserver_accounts", "imported_accounts",
}  # fmt: skip
"""Tables that hold nothing of an account but its user ID, hashes, checksums and times."""


def used(world: World) -> dict[str, Any]:
    """The file of an account that has used everything."""
    app = App(world)
    token = world.register()
    app.tokens()
    identity = world.identity_token(token)
    world.add(token, world.validated(identity), bind=True)
    world.call("PUT", f"/_matrix/client/v3/profile/{ALICE}/displayname", {"displayname": "A"}, token=token)
    invitation = {"medium": "email", "address": "guest@example.com", "room_id": "!r:example.org", "sender": ALICE}
    assert world.post("/_matrix/identity/v2/store-invite", invitation, token=identity).status_code == 200
    world.mails()
    report(world, "alice@example.com")
    world.run(world.database.write(choose_and_prove))
    operator = Operator("test", Origin(world.clock.now()), frozenset(Scope))
    return world.run(world.homeserver.support.export(ALICE, operator))


def test_the_file_of_an_account_has_the_rows_of_every_table(world: World) -> None:
    tables = {*re.findall(r"'([a-z_]+)' AS table_name", Queries("remains").of_account.sqlite), "suppressions"}
    assert tables == EXPORTED.keys() | ONLY_HASHES
    assert {*EXPORTED.values()} == MEMBERS.keys()
    data = used(world)
    assert [member for member in MEMBERS if not data[member]] == []
    for member, members in MEMBERS.items():
        for one in data[member] if isinstance(data[member], list) else [data[member]]:
            assert set(one) == set(members), member
    assert data["apps"][0]["client_name"] == "Element"
    assert data["invitations"][0]["canonical"] == "guest@example.com"
    assert {one["recipient"] for one in data["messages"]} == {"alice@example.com"}
    assert data["proofs"][0]["canonical"] == "alice@example.net"
    assert re.search(r"hash|params|tp_|tpr_|tpi_", json.dumps(data)) is None


def test_the_file_of_an_account_has_no_messages_from_before_it_had_the_address(world: World) -> None:
    alice = world.register()
    world.add(alice, world.validated(world.identity_token(alice)))
    world.add(alice, world.validated(world.identity_token(alice), "alice2@example.com"))
    body = {"medium": "email", "address": "alice@example.com"}
    assert world.post("/_matrix/client/v3/account/3pid/delete", body, token=alice).status_code == 200
    world.clock.advance(DAY)
    bob = world.register("bob")
    sid = world.validated(world.identity_token(bob, "bob"))
    world.clock.advance(MINUTE)
    added_at = world.clock.now()
    world.add(bob, sid)
    world.add(bob, world.validated(world.identity_token(bob, "bob"), "Bob@example.com"))
    world.clock.advance(MINUTE)
    world.add(bob, world.validated(world.identity_token(bob, "bob"), "bob2@example.com"))
    world.mails()  # the notice of the last contact is among them
    operator = Operator("test", Origin(world.clock.now()), frozenset(Scope))
    data = world.run(world.homeserver.support.export("@bob:example.org", operator))
    times = [one["created_at"] for one in data["messages"]]
    assert times == sorted(times, reverse=True)
    assert times[-1] >= added_at
    assert {one["recipient"] for one in data["messages"]} == {
        "alice@example.com",
        "Bob@example.com",
        "bob2@example.com",
    }
    told = [one["template"] for one in data["messages"] if one["recipient"] == "alice@example.com"]
    assert told == ["contact_added", "contact_added"]


def test_an_erasure_takes_the_sent_messages_with_it(world: World) -> None:
    used(world)
    finish(world, 1)  # to somebody else

    def messages() -> list[tuple[str, str, bool]]:
        addresses = ["alice@example.com", "a@example.com"]
        jobs = world.run(world.database.read(lambda tx: outbox.to_recipients(tx, addresses, count=99)))
        return sorted((job.recipient, job.template, job.sent_at is None and job.failed_at is None) for job in jobs)

    assert len(messages()) == 3
    world.run(world.homeserver.closing.close_by_operator(ALICE, erase=True))
    assert messages() == [("a@example.com", "code", False)]
    world.mails()  # the notice of the deactivation still leaves
    assert messages() == [("a@example.com", "code", False), ("alice@example.com", "account_deactivated", False)]


def test_an_erasure_takes_the_notices_with_it_that_were_given_up(world: World) -> None:
    """Until it is spread, a notice names the account and no address."""
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.add(token, world.validated(world.identity_token(token), "alice2@example.com"))
    operator = Operator("test", Origin(world.clock.now()), frozenset(Scope))
    jobs = world.run(world.database.read(lambda tx: outbox.listed(tx, failed=False, after=None, count=9)))
    assert [(job.channel, job.recipient) for job in jobs] == [("notice", ALICE)]
    assert world.run(world.server.services.operations.drop_all(jobs, operator)) == 1
    world.run(world.homeserver.closing.close_by_operator(ALICE, erase=True))
    world.mails()
    left = {one.table_name for one in world.run(world.homeserver.directory.remains(ALICE))}
    assert "outbox" not in left
    failed = world.run(world.database.read(lambda tx: outbox.listed(tx, failed=True, after=None, count=9)))
    assert failed == []


def test_what_remains_of_an_account_that_used_everything_stands_on_the_page(world: World) -> None:
    used(world)
    world.run(world.homeserver.closing.close_by_operator(ALICE, erase=True))
    world.mails()
    left = {one.table_name for one in world.run(world.homeserver.directory.remains(ALICE))}
    section = GUIDE.read_text().partition("## When somebody leaves")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\* `([a-z_]+)`", section, re.MULTILINE))
    assert {"accounts", "invites", "validation_sessions"} <= left <= told


def test_limits_that_are_whole_again_go_however_many_there_are(world: World) -> None:
    now, count = world.clock.now(), background.BATCH + 3
    used = [
        *(limits.Wanted(f"soon-{number:04}", 1_000, 5) for number in range(count)),
        *(limits.Wanted(f"late-{number:04}", HOUR, 5) for number in range(count)),
    ]
    world.run(world.database.write_aside(lambda tx: limits.take_each(tx, used, now=now)))
    world.clock.advance(MINUTE)
    assert keep_house(world) == count
    left = world.run(world.database.read(lambda tx: limits.page(tx, "", world.clock.now(), count=10 * count)))
    assert (left.last, left.full_again) == (f"late-{count - 1:04}", 0)
    # What was used stays used.
    again = world.run(world.database.write(lambda tx: limits.full_at(tx, used[-1:], now=world.clock.now())))
    assert again == {used[-1].key: now + HOUR}
    world.clock.advance(HOUR)
    assert keep_house(world) == count
    assert world.run(world.database.read(lambda tx: limits.page(tx, "", world.clock.now(), count=1))).last is None
