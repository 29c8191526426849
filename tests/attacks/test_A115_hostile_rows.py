"""A115: a database to import from that somebody forged, or that was damaged. No row stops the import, and none slips in."""

from pathlib import Path
from typing import Any

import pytest

from importers.synapse.importing import bring, log_in, who
from synapse_database import SynapseDatabase
from threepid.storage import accounts, devices
from world import World

ALICE = "@alice:example.org"
ESCAPE = "\x1b]0;title\x07\u202e"


@pytest.fixture(name="forged")
def forge(tmp_path: Path) -> SynapseDatabase:
    """A Synapse without constraints, in which one user is as usual."""
    made = SynapseDatabase(f"sqlite:{tmp_path}/homeserver.db", strict=False)
    made.user(ALICE, "password")
    made.device(ALICE, "PHONE", "syt_phone_of_alice")
    return made


def all_accounts(world: World) -> list[str]:
    return [found.user_id for found in world.run(world.database.read(lambda tx: accounts.after(tx, "", 1000)))]


def test_A115_hostile_user_ids(world: World, forged: SynapseDatabase) -> None:
    names: list[Any] = [
        "", "@", "alice:example.org", "@:example.org", "@nul\0:example.org", "@two words:example.org", "@ü:example.org",
        f"@{ESCAPE}:example.org", "@line\nbreak:example.org", "@" + "a" * 300 + ":example.org", "@a:example.org:8448",
        "@a:EXAMPLE.org", "@a:other.example", "@a:", None, 5, 1.5, b"@blob:example.org", "@" + "x" * 5_000_000,
    ]  # fmt: skip
    for name in names:
        forged.user(name, "password")
    found = bring(world, forged)
    assert all_accounts(world) == [ALICE]
    assert sum(found.kinds().values()) == len(names)
    assert set(found.kinds()) == {"INVALID_USER", "OTHER_SERVER", "DAMAGED"}
    assert all(len(finding.user_id) < 500 and finding.user_id.isprintable() for finding in found.findings)
    assert found.result.mismatches == []


def test_A115_hostile_values_of_an_account(world: World, forged: SynapseDatabase) -> None:
    wrong: list[Any] = ["x", -1, 2**62, 1.5, b"1", None, "1700000000"]
    for number, value in enumerate(wrong):
        forged.user(f"@u{number}:example.org", creation_ts=value, admin=value, locked=0, deactivated=0, approved=1)
    found = bring(world, forged)
    assert found.kinds()["DAMAGED"] == len(wrong)
    assert len(all_accounts(world)) == len(wrong) + 1
    admins = [
        name for name in all_accounts(world) if world.run(world.database.read(lambda tx: accounts.is_admin(tx, name)))
    ]
    assert admins == []


def test_A115_hostile_devices_and_tokens(world: World, forged: SynapseDatabase) -> None:
    ids: list[Any] = ["", "nul\0", ESCAPE, "x" * 256, "x" * 3_000_000, None, 7, b"BLOB", "line\n"]
    for device_id in ids:
        forged.device(ALICE, device_id, f"syt_of_{str(device_id)[:30]!r}")
    texts: list[Any] = [f"name {ESCAPE} with\0everything" + "x" * 5000, 5, b"name", "", "\0"]
    for number, text in enumerate(texts):
        forged.device(ALICE, f"D{number}", display_name=text, ip=text, user_agent=text, last_seen=text)
    tokens: list[Any] = ["", "short", "nul_in_the_middle\0of_a_token", "ünïcode_of_a_token_of_some_length", None, 12, b"x" * 30,
                         "x" * 5000, "two words with spaces in it"]  # fmt: skip
    for token in tokens:
        forged.token(ALICE, "PHONE", token)
    for expiry in ("x", -5, 2**62, 1.5, b"1"):
        forged.token(ALICE, "PHONE", f"syt_with_expiry_{expiry!r}", valid_until_ms=expiry)
    found = bring(world, forged)
    stored = {
        device.device_id: device for device in world.run(world.database.read(lambda tx: devices.of_user(tx, ALICE)))
    }
    assert sorted(stored) == ["D0", "D1", "D2", "D3", "D4", "PHONE"]
    for device in stored.values():
        for text in (device.display_name, device.user_agent, device.seen_from):
            assert text is None or (len(text) <= 256 and "\0" not in text and "\x1b" not in text)
    assert found.kinds()["INVALID_DEVICE"] == len(ids)
    assert found.kinds()["TOKEN_WITHOUT_DEVICE"] == len(ids)
    assert found.kinds()["WEAK_TOKEN"] == 1
    for token in ("", "short", "x" * 5000, "syt_with_expiry_-5"):
        assert who(world, token) in {"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", None} or who(world, token)[0] != ALICE
    assert who(world, "syt_phone_of_alice") == (ALICE, "PHONE")


def test_A115_hostile_contacts(world: World, forged: SynapseDatabase) -> None:
    bad: list[tuple[Any, Any]] = [
        ("email", "a@b.com@important.example"), ("email", "nul\0@example.com"), ("email", "x" * 100_000), ("email", ""),
        ("email", "a@localhost"), ("email", "=?utf-8?q?a?=@example.com"), ("email", b"a@example.com"), ("email", 5),
        ("msisdn", "0000"), ("msisdn", "12"), ("msisdn", "not a number"), ("xmpp", "a@example.com"), (None, None), (5, 5),
        ("email\0", "a@example.com"),
    ]  # fmt: skip
    for medium, address in bad:
        forged.contact(ALICE, medium, address)
    for wrong in ("x", -1, None, 2**62, 1.5):
        forged.contact(ALICE, "email", "right@example.com", validated_at=wrong)
    found = bring(world, forged)
    assert world.contacts("syt_phone_of_alice") == []
    assert found.kinds()["INVALID_CONTACT"] + found.kinds()["DAMAGED"] == len(bad) + 5
    assert all(finding.detail.isprintable() for finding in found.findings)


def test_A115_chains_of_refresh_tokens_without_end(world: World, forged: SynapseDatabase) -> None:
    one = forged.refresh(ALICE, "PHONE", "syr_one_of_a_circle", next_token_id=0)
    other = forged.refresh(ALICE, "PHONE", "syr_other_of_a_circle", next_token_id=one)
    forged.do("UPDATE refresh_tokens SET next_token_id = ? WHERE id = ?", other, one)
    own = forged.refresh(ALICE, "PHONE", "syr_that_follows_itself")
    forged.do("UPDATE refresh_tokens SET next_token_id = id WHERE id = ?", own)
    forged.refresh(ALICE, "PHONE", "syr_of_nobody_known", next_token_id=10**9)
    forged.refresh(ALICE, "PHONE", "syt_phone_of_alice")  # the text of an access token
    found = bring(world, forged)
    assert found.kinds() == {"SPENT_TOKEN": 4, "TOKEN_TAKEN": 1}
    assert who(world, "syt_phone_of_alice") in {(ALICE, "PHONE"), "M_UNKNOWN_TOKEN"}


def test_A115_unreadable_text_harms_nobody_else(world: World, forged: SynapseDatabase) -> None:
    """Text that is not UTF-8 makes a row unreadable. Rows of other users still belong to them."""
    forged.do(
        "INSERT INTO users (name, password_hash, creation_ts) VALUES ('@bad:example.org', CAST(x'ff' AS TEXT), 1)"
    )
    forged.device("@bad:example.org", "OF BAD", "syt_of_the_unreadable")
    forged.do("INSERT INTO devices (user_id, device_id) VALUES (?, CAST(x'ff' AS TEXT))", ALICE)
    forged.user("@zoe:example.org", "password")
    forged.device("@zoe:example.org", "PHONE", "syt_phone_of_zoe")
    found = bring(world, forged)
    assert all_accounts(world) == [ALICE, "@zoe:example.org"]
    assert who(world, "syt_phone_of_zoe") == ("@zoe:example.org", "PHONE")
    assert who(world, "syt_of_the_unreadable") == "M_UNKNOWN_TOKEN"
    assert found.details("DAMAGED") == ["4 rows with text that is not UTF-8"]
    assert not found.result.is_complete
    assert log_in(world, "zoe", "password") == 200


def test_A115_rows_of_nobody_are_counted(world: World, forged: SynapseDatabase) -> None:
    forged.device("@nobody:example.org", "PHONE", "syt_phone_of_nobody")
    forged.contact("@nobody:example.org", "email", "nobody@example.com")
    found = bring(world, forged)
    assert sorted(found.details("UNKNOWN_USER")) == [
        "1 rows of access_tokens", "1 rows of devices", "1 rows of user_threepids",
    ]  # fmt: skip
    assert found.result.mismatches == []
    assert who(world, "syt_phone_of_nobody") == "M_UNKNOWN_TOKEN"
