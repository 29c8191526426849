"""The accounts of a Synapse move in, and nobody notices."""

from functools import partial
from typing import Any

from importers.synapse.importing import bring, log_in, who
from synapse_database import CREATED, SynapseDatabase
from threepid.domain.secrets.passwords import Hasher
from threepid.storage import accounts, devices
from world import World

ALICE, BOB, CAROL = "@alice:example.org", "@Bob.Old:example.org", "@carol:example.org"
PEPPER = "a pepper: ñ\n"
TOKEN, MACAROON = "syt_YWxpY2U_abcdefghijklmnopqrst_123456", "MDAxOGxvY2F0aW9uIGV4YW1wbGUub3JnCg" * 8
HOUR = 3_600_000


def account(world: World, user_id: str) -> Any:
    return world.run(world.database.read(lambda tx: accounts.get(tx, user_id)))


def test_people_sign_in_with_old_passwords_and_go_on_with_old_tokens(world: World, synapse: SynapseDatabase) -> None:
    synapse.user(ALICE, "pässword", pepper=PEPPER)
    synapse.device(ALICE, "PHONE", TOKEN)
    synapse.device(ALICE, "TABLET")
    synapse.user(BOB, "another", pepper=PEPPER)
    synapse.device(BOB, "OLD", MACAROON)
    found = bring(world, synapse, pepper=PEPPER)
    assert (found.result.is_complete, found.findings) == (True, [])
    assert found.result.carried == {
        "accounts": 2, "passwords": 2, "contacts": 0, "devices": 3, "access_tokens": 2, "refresh_tokens": 0
    }  # fmt: skip
    assert who(world, TOKEN) == (ALICE, "PHONE")
    assert who(world, MACAROON) == (BOB, "OLD")
    assert account(world, ALICE).created_at == CREATED * 1000
    for right in ("pa\u0308ssword", "pässword"):  # the same letters, typed in two ways
        assert log_in(world, "alice", right) == 200
    for wrong in ("pässword" + PEPPER, "", PEPPER, "passwort"):
        assert log_in(world, "alice", wrong) == 403
    assert log_in(world, "Bob.Old", "another") == 200


def test_a_login_replaces_the_old_hash_and_needs_the_pepper_no_more(world: World, synapse: SynapseDatabase) -> None:
    synapse.user(ALICE, "password", pepper=PEPPER)
    bring(world, synapse, pepper=PEPPER)
    assert account(world, ALICE).password_hash.startswith("$peppered$")
    assert PEPPER not in account(world, ALICE).password_hash
    assert log_in(world, "alice", "password") == 200
    assert account(world, ALICE).password_hash.startswith("$argon2id$")
    (file,) = (world.directory / "keys").glob("password_pepper_*")
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    with world.again() as other:
        assert log_in(other, "alice", "password") == 200


def test_without_its_pepper_a_password_is_wrong_and_nothing_breaks(world: World, synapse: SynapseDatabase) -> None:
    synapse.user(ALICE, "password", pepper=PEPPER)
    bring(world, synapse, pepper=PEPPER)
    (file,) = (world.directory / "keys").glob("password_pepper_*")
    file.unlink()
    with world.again() as other:
        assert log_in(other, "alice", "password") == 403


def test_a_password_of_more_than_72_bytes_is_right_as_it_was(world: World, synapse: SynapseDatabase) -> None:
    """Synapse cuts password and pepper together, so the pepper of a long password does not count."""
    synapse.user(ALICE, "ü" * 50, pepper=PEPPER)
    bring(world, synapse, pepper=PEPPER)
    assert log_in(world, "alice", "ü" * 50) == 200
    assert Hasher().is_current(account(world, ALICE).password_hash) is False  # the world hashes cheaply
    assert log_in(world, "alice", "ü" * 40) == 403


def test_contacts_come_with_both_times_and_log_in(world: World, synapse: SynapseDatabase) -> None:
    synapse.user(ALICE, "password")
    synapse.contact(ALICE, "email", "Alice@Example.COM", 1_600_000_000_001, 1_600_000_000_002)
    synapse.contact(ALICE, "msisdn", "447700900123", 1_600_000_000_003, 1_600_000_000_004)
    synapse.device(ALICE, "PHONE", TOKEN)
    assert bring(world, synapse).result.is_complete
    listed = world.get("/_matrix/client/v3/account/3pid", token=TOKEN).json()["threepids"]
    assert [(each["medium"], each["validated_at"], each["added_at"]) for each in listed] == [
        ("email", 1_600_000_000_001, 1_600_000_000_002),
        ("msisdn", 1_600_000_000_003, 1_600_000_000_004),
    ]
    assert [each["address"] for each in listed] == ["alice@example.com", "447700900123"]
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "alice@example.com"},
        "password": "password",
    }
    assert world.post("/_matrix/client/v3/login", body).json()["user_id"] == ALICE


def test_devices_come_with_names_and_where_they_were_seen(world: World, synapse: SynapseDatabase) -> None:
    synapse.user(ALICE, "password")
    seen = {"last_seen": 1_700_000_000_123, "ip": "198.51.100.7", "user_agent": "Element/1"}
    synapse.device(ALICE, "PHONE", TOKEN, display_name="Alice's phone", **seen)
    synapse.device(ALICE, "NAMELESS", display_name=None, ip="-")
    bring(world, synapse)
    stored = {
        device.device_id: device for device in world.run(world.database.read(lambda tx: devices.of_user(tx, ALICE)))
    }
    phone, nameless = stored["PHONE"], stored["NAMELESS"]
    assert (phone.display_name, phone.seen_at, phone.seen_from, phone.user_agent) == (
        "Alice's phone", 1_700_000_000_123, "198.51.100.7", "Element/1",
    )  # fmt: skip
    assert (nameless.display_name, nameless.seen_at, nameless.seen_from) == (None, None, None)
    assert world.run(world.database.read(lambda tx: devices.knows(tx, ALICE, "198.51.100.7")))


def test_a_refreshed_session_goes_on_wherever_it_was(world: World, synapse: SynapseDatabase) -> None:
    """Synapse keeps the refresh token before the newest one: it is valid until a token that was issued for it is used."""
    synapse.user(ALICE, "password")
    now = world.clock.now()
    for device, used in (("USED", True), ("UNUSED", False)):
        synapse.device(ALICE, device)
        second = synapse.refresh(ALICE, device, f"syr_second_of_{device}")
        first = synapse.refresh(ALICE, device, f"syr_first_of_{device}", next_token_id=second)
        synapse.token(
            ALICE, device, f"syt_first_of_{device}", refresh_token_id=first, used=True, valid_until_ms=now + HOUR // 4
        )
        synapse.token(
            ALICE, device, f"syt_second_of_{device}", refresh_token_id=second, used=used, valid_until_ms=now + HOUR // 4
        )
    found = bring(world, synapse)
    assert found.kinds() == {"SPENT_TOKEN": 1}
    assert found.result.is_complete

    def refresh(token: str) -> int:
        return world.post("/_matrix/client/v3/refresh", {"refresh_token": token}).status_code

    assert who(world, "syt_second_of_USED") == (ALICE, "USED")
    assert refresh("syr_first_of_USED") == 401
    assert refresh("syr_second_of_USED") == 200
    # The client that never got the answer to its refresh repeats it. The client that got it spends the first token by it.
    assert refresh("syr_first_of_UNUSED") == 200
    assert who(world, "syt_second_of_UNUSED") == (ALICE, "UNUSED")
    assert refresh("syr_second_of_UNUSED") == 200


def test_a_token_that_expires_keeps_its_end_and_one_with_a_refresh_token_gets_ours(
    world: World, synapse: SynapseDatabase
) -> None:
    synapse.user(ALICE, "password")
    now = world.clock.now()
    synapse.device(ALICE, "LONG")
    synapse.token(ALICE, "LONG", "syt_that_lives_for_a_day", valid_until_ms=now + 24 * HOUR)
    synapse.device(ALICE, "REFRESHED")
    number = synapse.refresh(ALICE, "REFRESHED", "syr_that_lives_for_ever")
    synapse.token(
        ALICE,
        "REFRESHED",
        "syt_with_a_refresh_token",
        valid_until_ms=now + 24 * HOUR,
        refresh_token_id=number,
        used=True,
    )
    assert bring(world, synapse).findings == []
    assert who(world, "syt_that_lives_for_a_day") == (ALICE, "LONG")
    assert who(world, "syt_with_a_refresh_token") == (ALICE, "REFRESHED")
    world.clock.advance(2 * HOUR)
    assert who(world, "syt_that_lives_for_a_day") == (ALICE, "LONG")
    assert who(world, "syt_with_a_refresh_token") == "M_UNKNOWN_TOKEN"
    assert world.post("/_matrix/client/v3/refresh", {"refresh_token": "syr_that_lives_for_ever"}).status_code == 200
    world.clock.advance(23 * HOUR)
    assert who(world, "syt_that_lives_for_a_day") == "M_UNKNOWN_TOKEN"


def test_what_is_over_or_not_a_persons_is_not_carried(world: World, synapse: SynapseDatabase) -> None:
    now = world.clock.now()
    synapse.user(ALICE, "password")
    synapse.device(ALICE, "PHONE", TOKEN)
    synapse.token(ALICE, "PHONE", "syt_that_has_expired_by_now", valid_until_ms=now)
    synapse.token(ALICE, "PHONE", "syt_of_an_administrator_who", puppets_user_id="@admin:example.org")
    synapse.token(ALICE, None, "syt_without_any_device_at_all")
    synapse.refresh(ALICE, "PHONE", "syr_that_has_expired", expiry_ts=now - 1)
    synapse.refresh(ALICE, "PHONE", "syr_of_a_session_that_is_over", ultimate_session_expiry_ts=now - 1)
    synapse.device(ALICE, "cross-signing-key", hidden=1)
    synapse.device(ALICE, "DEHYDRATED")
    synapse.insert("dehydrated_devices", user_id=ALICE, device_id="DEHYDRATED")
    synapse.insert("user_external_ids", auth_provider="oidc-example", external_id="alice-1", user_id=ALICE)
    synapse.insert(
        "user_threepid_id_server", user_id=ALICE, medium="email", address="a@example.com", id_server="id.example.net"
    )
    synapse.user("@1234:example.org", is_guest=1)
    synapse.user("@_irc_bob:example.org", appservice_id="irc")
    synapse.device("@_irc_bob:example.org", "BRIDGED", "syt_of_an_application_service")
    found = bring(world, synapse)
    assert found.kinds() == {
        "TOKEN_WITHOUT_DEVICE": 1, "GUEST": 1, "APPLICATION_SERVICE": 1, "HIDDEN_DEVICE": 2, "EXPIRED_TOKEN": 3,
        "PUPPET_TOKEN": 1, "EXTERNAL_ID": 1, "BINDING": 1,
    }  # fmt: skip
    assert found.details("EXTERNAL_ID") == [f"{ALICE} oidc-example: alice-1"]
    assert found.details("PUPPET_TOKEN") == [f"{ALICE} for @admin:example.org"]
    assert not found.result.is_complete  # somebody has to look at the token without a device
    assert found.result.mismatches == []
    assert account(world, "@1234:example.org") is None
    assert account(world, "@_irc_bob:example.org").password_hash is None
    for token in ("syt_that_has_expired_by_now", "syt_of_an_administrator_who", "syt_without_any_device_at_all",
                  "syt_of_an_application_service"):  # fmt: skip
        assert who(world, token) == "M_UNKNOWN_TOKEN"
    assert [device.device_id for device in world.run(world.database.read(lambda tx: devices.of_user(tx, ALICE)))] == [
        "PHONE"
    ]


def test_deactivated_users_keep_their_names_and_locked_ones_their_devices(
    world: World, synapse: SynapseDatabase
) -> None:
    now = world.clock.now()
    synapse.user("@gone:example.org", "password", deactivated=1)
    synapse.device("@gone:example.org", "LEFT", "syt_that_was_left_behind")
    synapse.insert("erased_users", user_id="@gone:example.org")
    locked = ["@locked:example.org", "@waits:example.org", "@expired:example.org"]
    synapse.user(locked[0], "password", locked=1)
    synapse.user(locked[1], "password", approved=0)
    synapse.user(locked[2], "password")
    synapse.insert("account_validity", user_id=locked[2], expiration_ts_ms=now)
    synapse.user(ALICE, "password", approved=1, admin=1, shadow_banned=1, suspended=1)
    synapse.insert("account_validity", user_id=ALICE, expiration_ts_ms=now + HOUR)
    for user_id in locked:
        synapse.device(user_id, "PHONE", f"syt_token_of_{user_id}")
    found = bring(world, synapse)
    kinds = {"LOCKED": 3, "ADMIN": 1, "DEACTIVATED": 1, "SHADOW_BANNED": 1, "SUSPENDED": 1, "ERASED": 1}
    assert found.kinds() == kinds
    assert sorted(found.details("LOCKED")) == [
        "@expired:example.org validity is over", "@locked:example.org locked", "@waits:example.org waits for approval",
    ]  # fmt: skip
    gone = account(world, "@gone:example.org")
    assert (gone.password_hash, gone.deactivated_at) == (None, now)
    taken = world.get("/_matrix/client/v3/register/available?username=gone").json()
    assert taken["errcode"] == "M_USER_IN_USE"
    for user_id in locked:
        assert account(world, user_id).locked_at == now
        assert world.run(world.database.read(partial(devices.ids, user_id=user_id))) == ["PHONE"]
        assert who(world, f"syt_token_of_{user_id}") == "M_USER_LOCKED"
    assert account(world, ALICE).locked_at is None
    assert world.run(world.database.read(lambda tx: accounts.is_admin(tx, ALICE)))
    assert log_in(world, "alice", "password") == 200


def test_settings_say_which_locks_and_passwords_were_in_force(world: World, synapse: SynapseDatabase) -> None:
    synapse.user(ALICE, "password", approved=0)
    synapse.insert("account_validity", user_id=ALICE, expiration_ts_ms=1)
    found = bring(world, synapse, needs_approval=False, expires_accounts=False, has_passwords=False)
    assert found.kinds() == {"PASSWORD_OFF": 1, "NO_WAY_IN": 1}
    assert account(world, ALICE).locked_at is None
    assert log_in(world, "alice", "password") == 403


def test_an_older_synapse_has_fewer_columns(world: World, tmp_path: Any) -> None:
    without = (
        "users.locked", "users.suspended", "users.approved", "users.shadow_banned", "devices.hidden", "devices.ip",
        "devices.user_agent", "access_tokens.used", "access_tokens.refresh_token_id", "access_tokens.puppets_user_id",
        "refresh_tokens", "dehydrated_devices", "erased_users", "account_validity", "user_external_ids",
        "user_threepid_id_server", "schema_compat_version",
    )  # fmt: skip
    synapse = SynapseDatabase(f"sqlite:{tmp_path}/old.db", without=without)
    synapse.user(ALICE, "password")
    synapse.insert("devices", user_id=ALICE, device_id="PHONE", display_name="Phone")
    synapse.token(ALICE, "PHONE", TOKEN)
    synapse.close()
    assert bring(world, synapse).findings == []
    assert who(world, TOKEN) == (ALICE, "PHONE")
