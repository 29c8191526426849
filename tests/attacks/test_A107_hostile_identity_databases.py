"""A107: the database of an identity server that somebody forged. No row stops the import, and none gives anybody more than it may."""

import json
from pathlib import Path
from typing import Any

import apsw
import nacl.signing
import psycopg
import pytest
from unpaddedbase64 import encode_base64

from importers.identity_servers import V2, bring, look_up, whose
from ma1sd_database import Ma1sdDatabase, write_keys
from sydent_database import BOUND_AT, PEPPER, SydentDatabase
from threepid.importers.source import SourceError, open_source
from threepid.importers.sydent.reader import Reader
from threepid.storage import associations, invites
from world import World

ALICE = "@alice:hs.example"
TOKEN = "token-of-alice-at-sydent"
ESCAPE = "\x1b]0;title\x07\u202e"
WRONG: list[Any] = ["", "\0", ESCAPE, "x" * 3_000_000, None, 5, 1.5, b"blob", -1, 2**62]


@pytest.fixture(name="forged")
def forge(tmp_path: Path) -> SydentDatabase:
    """A Sydent without constraints, in which one user is as usual."""
    made = SydentDatabase(tmp_path / "sydent.db", strict=False)
    made.account(ALICE, TOKEN)
    made.insert("local_threepid_associations", id=1, medium="email", address="alice@example.com", mxid=ALICE, ts=BOUND_AT,
                notBefore=BOUND_AT, notAfter=BOUND_AT * 2)  # fmt: skip
    return made


def test_A107_no_value_of_any_table_stops_the_import(world: World, forged: SydentDatabase) -> None:
    usual: dict[str, dict[str, Any]] = {
        "local_threepid_associations": {"id": 7, "medium": "email", "address": "b@example.com", "mxid": "@b:hs.example",
                                        "ts": BOUND_AT, "notBefore": BOUND_AT, "notAfter": BOUND_AT * 2},
        "global_threepid_associations": {"medium": "email", "address": "c@example.com", "originServer": "peer.example"},
        "invite_tokens": {"id": 1, "medium": "email", "address": "d@example.com", "room_id": "!r:hs.example",
                          "sender": ALICE, "token": "t" * 64, "received_ts": 5, "sent_ts": None},
        "ephemeral_public_keys": {"id": 1, "public_key": "A" * 43, "persistence_ts": 5},
        "accounts": {"user_id": "@b:hs.example", "created_ts": 5, "consent_version": "v1"},
        "tokens": {"token": "token-of-somebody", "user_id": "@b:hs.example"},
        "accepted_terms_urls": {"user_id": "@b:hs.example", "url": "https://example.org"},
    }  # fmt: skip
    for table, row in usual.items():
        for column in row:
            for wrong in WRONG:
                forged.insert(table, **{**row, column: wrong})
    found = bring(world, forged, terms_version="v1")
    assert found.result.mismatches == []
    assert all(len(one.user_id) < 200 and one.user_id.isprintable() for one in found.findings)
    assert all(len(one.detail) < 500 and one.detail.isprintable() for one in found.findings)
    assert whose(world, TOKEN) == ALICE
    assert look_up(world, TOKEN, PEPPER, "alice@example.com", "b@example.com") == {
        "alice@example.com": ALICE, "b@example.com": "@b:hs.example",
    }  # fmt: skip
    for address in map(str, WRONG):
        assert look_up(world, TOKEN, PEPPER, address) == {}


def test_A107_tokens_that_could_be_guessed_or_sent_by_others(world: World, forged: SydentDatabase) -> None:
    for token in ("short", "two words with spaces", "x" * 5000, "ünïcode-of-some-length", "line\nbreak-in-the-token"):
        forged.account(ALICE, token)
    forged.insert("tokens", user_id="@nobody:hs.example", token="token-without-an-account")
    forged.account("@ghost", "token-of-an-invalid-user")
    kinds = bring(world, forged).kinds()
    assert (kinds["WEAK_TOKEN"], kinds["DAMAGED"], kinds["UNKNOWN_USER"], kinds["INVALID_USER"]) == (1, 4, 1, 1)
    for token in ("short", "x" * 5000, "token-without-an-account", "token-of-an-invalid-user"):
        assert whose(world, token) == "M_UNAUTHORIZED"


def test_A107_a_token_of_somebody_here_stays_theirs(world: World, forged: SydentDatabase) -> None:
    own = world.identity_token(world.register())
    forged.account("@evil:hs.example", own)
    assert bring(world, forged).kinds() == {"TOKEN_TAKEN": 1}
    assert whose(world, own) == "@alice:example.org"


def test_A107_a_deactivated_account_gets_nothing_back(world: World, forged: SydentDatabase) -> None:
    token = world.register("gone")
    body = {"auth": {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "gone"},
                     "password": "correct horse battery"}}  # fmt: skip
    assert world.post("/_matrix/client/v3/account/deactivate", body, token=token).status_code == 200
    gone = "@gone:example.org"
    forged.account(gone, "token-of-the-deactivated")
    forged.bind(gone, "gone@example.com", id=2)
    assert bring(world, forged).kinds() == {"DEACTIVATED": 2}
    assert whose(world, "token-of-the-deactivated") == "M_UNAUTHORIZED"
    assert world.run(world.database.read(lambda tx: associations.of_user(tx, gone))) == []


def test_A107_floods_of_tokens_leave_the_newest(world: World, forged: SydentDatabase) -> None:
    forged.account("@many:hs.example", *(f"token-number-{number:05}" for number in range(2_500)))
    found = bring(world, forged)
    assert found.kinds() == {"SURPLUS_TOKEN": 2_450}
    assert found.result.is_complete
    assert whose(world, "token-number-02449") == "M_UNAUTHORIZED"
    assert whose(world, "token-number-02450") == whose(world, "token-number-02499") == "@many:hs.example"


def test_A107_a_spelling_finds_no_other_address(world: World, forged: SydentDatabase) -> None:
    """A forged spelling is an address of its own, or none: nobody appears under the address of somebody else."""
    for number, address in enumerate(("ALICE@example.com ", "alice@example.com\u200b", " alice@example.com"), 2):
        forged.insert("local_threepid_associations", id=number, medium="email", address=address, mxid="@evil:hs.example",
                      ts=BOUND_AT - 1, notBefore=1, notAfter=BOUND_AT * 2)  # fmt: skip
    assert bring(world, forged).kinds() == {"BOUND_LATER": 3}
    asked = ("alice@example.com", "ALICE@example.com ", " alice@example.com")
    assert look_up(world, TOKEN, PEPPER, *asked) == {"alice@example.com": ALICE}


def test_A107_a_view_without_end_is_no_table(tmp_path: Path) -> None:
    made = SydentDatabase(tmp_path / "sydent.db", without=("tokens", "invite_tokens"))
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT"
    made.do(f"CREATE VIEW tokens AS {endless} x AS token, x AS user_id FROM n")
    made.do(
        f"CREATE VIEW invite_tokens AS {endless} x AS id, x AS medium, x AS address, x AS room_id, x AS sender, x AS token FROM n"
    )
    with pytest.raises(SourceError, match="it has no invite_tokens"):
        Reader(open_source(made.url))


def test_A107_a_virtual_table_over_such_a_view_is_none_either(tmp_path: Path) -> None:
    made = SydentDatabase(tmp_path / "sydent.db", without=("tokens", "invite_tokens"))
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS rowid, x AS id, x AS medium,"
    made.do(
        f"CREATE VIEW endless AS {endless} x AS address, x AS room_id, x AS sender, x AS token, x AS user_id FROM n"
    )
    made.do("CREATE VIRTUAL TABLE tokens USING fts5(token, user_id, content='endless')")
    made.do(
        "CREATE VIRTUAL TABLE invite_tokens USING fts5(id, medium, address, room_id, sender, token, content='endless')"
    )
    source = open_source(made.url)
    assert source.columns("tokens") == source.columns("invite_tokens") == frozenset()
    with pytest.raises(SourceError, match="it has no invite_tokens"):
        Reader(source)


def test_A107_a_view_is_no_table_on_either_engine(empty_url: str) -> None:
    statements = ("CREATE TABLE hashes (mxid TEXT)", "CREATE VIEW account AS SELECT mxid FROM hashes")
    if empty_url.startswith("sqlite:"):
        file = apsw.Connection(empty_url.removeprefix("sqlite:"))
        for statement in statements:
            file.execute(statement)
    else:
        with psycopg.connect(empty_url) as server:
            for statement in statements:
                server.execute(statement.encode())
    with open_source(empty_url) as source:
        assert source.columns("hashes") == {"mxid"}
        assert source.columns("account") == source.columns("nothing") == frozenset()


def test_A107_a_pepper_that_is_none(world: World, tmp_path: Path) -> None:
    for number, pepper in enumerate(("", "x" * 257, "line\nbreak", 5, b"\xff")):
        made = SydentDatabase(tmp_path / f"{number}.db", strict=False, pepper=pepper)
        with pytest.raises(SourceError, match="its pepper is no text"):
            bring(world, made)


def test_A107_text_that_is_not_utf_8_is_passed_over(world: World, forged: SydentDatabase) -> None:
    forged.do("INSERT INTO tokens (token, user_id) VALUES (CAST(x'ff' AS TEXT), ?)", ALICE)
    found = bring(world, forged)
    assert found.details("DAMAGED") == ["1 rows with text that is not UTF-8"]
    assert found.result.mismatches == []


def test_A107_an_invitation_signs_only_with_a_key_of_an_invitation(world: World, forged: SydentDatabase) -> None:
    forged.invite("new@example.com", "t" * 64)
    key = nacl.signing.SigningKey(b"1" * 32)
    forged.key("not a key")
    forged.key(bytes(key.verify_key)[:31])
    assert bring(world, forged).kinds() == {"INVALID_KEY": 2}
    body = {"mxid": ALICE, "token": "t" * 64, "private_key": encode_base64(bytes(key))}
    assert world.post(f"{V2}/sign-ed25519", body, token=TOKEN).status_code == 404


def test_A107_hostile_rows_and_keys_of_a_ma1sd(world: World, tmp_path: Path) -> None:
    made = Ma1sdDatabase(f"sqlite:{tmp_path}/ma1sd.db")
    for number, properties in enumerate(
        ("[" * 100_000, "[]", "null", "{", '{"e_key_public": 5, "created_at": "9e9"}', ESCAPE)
    ):
        made.insert("invite_3pid", id=f"i{number}", token=f"{number}" * 64, sender=ALICE, medium="email",
                    address="new@example.com", roomId="!r:hs.example", properties=properties)  # fmt: skip
    made.insert(
        "invite_3pid", id="odd", token="short", sender="@x", medium="email", address="new@example.com", roomId="r"
    )
    folder = tmp_path / "keys of ma1sd"
    write_keys(folder, "a", regular={"a": b"1" * 32}, ephemeral={"e": b"2" * 32})
    (folder / "ephemeral" / "ed25519" / "evil").write_text(json.dumps({"key": ["A" * 43]}))
    (folder / "ephemeral" / "ed25519" / "link").symlink_to("/etc/hostname")
    found = bring(world, made, keys=folder)
    assert found.kinds() == {"INVALID_INVITE": 1, "INVALID_KEY": 2}
    assert len(world.run(world.database.read(lambda tx: invites.after(tx, 0, "", 100)))) == 6
