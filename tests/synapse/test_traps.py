"""What surprises about a real Synapse in this mode, and that nobody falls into it. `README.md` beside this file lists all of it."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from federated_synapse import Person
from oauth_app import API, DEVICE, App, Television, as_tokens, connect
from one_origin import PASSWORD, V3, OneOrigin
from origin_world import world_of
from real_synapse import PYTHON
from rig import wait_for
from world import World

ADMIN = "urn:synapse:admin:*"
REFUSED = {
    "enable_registration": "enable_registration: true\nenable_registration_without_verification: true",
    "password_config": "password_config: {enabled: true}",
    "enable_3pid_changes": "enable_3pid_changes: true",
    "login_via_existing_session": "login_via_existing_session: {enabled: true}",
    "refresh_token_lifetime": "refresh_token_lifetime: 5m",
    "session_lifetime": "session_lifetime: 5m",
    "nonrefreshable_access_token_lifetime": "nonrefreshable_access_token_lifetime: 5m",
    "enable_registration_captcha": (
        "enable_registration_captcha: true\nrecaptcha_public_key: x\nrecaptcha_private_key: x"
    ),
}
"""Settings beside which Synapse does not start, by their names in the guide."""
_numbers = itertools.count(1)


@pytest.fixture
def name() -> str:
    return f"trapped{next(_numbers)}"


@pytest.fixture
def person(origin: OneOrigin, name: str) -> Person:
    return origin.register(name)


@pytest.fixture
def world(origin: OneOrigin) -> Iterator[World]:
    with world_of(origin) as made:
        yield made


def operate(origin: OneOrigin, *command: str) -> None:
    """A command of the operator."""
    whole = [sys.executable, "-m", "threepid", *command, "--config", str(origin.threepid.config)]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr


def upload_keys(person: Person, device_id: str) -> None:
    keys = {f"ed25519:{device_id}": "A" * 43, f"curve25519:{device_id}": "B" * 43}
    device = {"user_id": person.user_id, "device_id": device_id, "algorithms": ["m.olm.v1"], "keys": keys}
    person.do("POST", "keys/upload", {"device_keys": {**device, "signatures": {person.user_id: {}}}})


def devices_with_keys(person: Person) -> list[str]:
    found = person.do("POST", "keys/query", {"device_keys": {person.user_id: []}})["device_keys"]
    return sorted(found.get(person.user_id, {}))


def add_email(origin: OneOrigin, person: Person, address: str) -> None:
    """Add an address as a client of the old login does it."""
    secret = f"secret{next(_numbers)}"
    asked = person.do(
        "POST", "account/3pid/email/requestToken", {"client_secret": secret, "email": address, "send_attempt": 1}
    )
    session = {"sid": asked["sid"], "client_secret": secret}
    path = asked["submit_url"].removeprefix(origin.base)
    assert (
        origin.request("POST", path, None, json={**session, "token": origin.code(_recipient(address))}).status_code
        == 200
    )
    person.do("POST", "account/3pid/add", {**session, "auth": origin.password_auth(person)})


def _recipient(address: str) -> str:
    """Where the mail goes: the domain is in small letters."""
    localpart, _, domain = address.partition("@")
    return f"{localpart}@{domain.lower()}"


def emails_at_synapse(origin: OneOrigin, person: Person) -> dict[str, int]:
    """When Synapse got each of the addresses, in milliseconds."""
    found = origin.synapse.request("GET", f"{V3}/account/3pid", person.token).json()["threepids"]
    return {one["address"]: one["added_at"] for one in found}


def test_a_refusal_is_remembered_and_a_new_sign_in_is_not_harmed(origin: OneOrigin, person: Person, name: str) -> None:
    fresh = origin.log_in(name, "FRESH")  # Synapse has not asked for it yet
    operate(origin, "account", "lock", name)
    refused = origin.whoami(fresh.token)
    told = refused.json()
    assert (refused.status_code, told["errcode"], told["soft_logout"]) == (401, "M_UNKNOWN_TOKEN", False)
    operate(origin, "account", "unlock", name)
    assert origin.is_dead(fresh.token), "Synapse remembers for two minutes"
    assert not origin.is_dead(origin.log_in(name, "AGAIN").token)
    # No device was lost by the lock.
    assert origin.synapse.device_ids(origin.log_in(name, "AGAIN").token) == ["AGAIN", "FIRST", "FRESH"]


def test_an_account_is_known_there_before_its_first_token(origin: OneOrigin, name: str) -> None:
    body = {"username": name, "password": PASSWORD, "inhibit_login": True, "auth": {"type": "m.login.dummy"}}
    assert origin.request("POST", f"{V3}/register", None, json=body).status_code == 200
    assert not origin.is_dead(origin.log_in(name, "FIRST").token)


def test_keys_of_other_devices_survive_every_change(origin: OneOrigin, person: Person, name: str) -> None:
    upload_keys(person, "FIRST")
    for device_id in ("LAPTOP", "TABLET"):
        upload_keys(origin.log_in(name, device_id), device_id)
    assert devices_with_keys(person) == ["FIRST", "LAPTOP", "TABLET"]
    laptop = origin.log_in(name, "LAPTOP")  # the same device signs in again
    add_email(origin, person, f"{name}@example.com")
    operate(origin, "account", "lock", name)
    operate(origin, "account", "unlock", name)
    assert laptop.ask("POST", "logout", {}).status_code == 200
    wait_for(lambda: devices_with_keys(person) == ["FIRST", "TABLET"], 30, what="the end of one device")


def test_a_device_that_signs_in_again_keeps_the_name_that_a_client_gave_it(origin: OneOrigin, name: str) -> None:
    origin.register(name)
    laptop = origin.log_in(name, "LAPTOP", initial_device_display_name="Laptop")
    assert laptop.do("GET", "devices/LAPTOP")["display_name"] == "Laptop"
    laptop.do("PUT", "devices/LAPTOP", {"display_name": "In the kitchen"})
    again = origin.log_in(name, "LAPTOP", initial_device_display_name="Laptop")
    assert again.do("GET", "devices/LAPTOP")["display_name"] == "In the kitchen"


def test_a_device_id_that_synapse_could_not_serve_is_refused(origin: OneOrigin, person: Person, name: str) -> None:
    taken = origin.synapse.mas("upsert_device", localpart=name, device_id="X" * 300)
    assert taken.status_code == 201, "Synapse takes it, and then fails at every request of its token"
    body = {**origin.password_auth(person), "device_id": "X" * 256}
    assert origin.request("POST", f"{V3}/login", None, json=body).status_code == 400


def test_an_address_in_any_spelling_is_told_once(origin: OneOrigin, person: Person, name: str) -> None:
    add_email(origin, person, f"{name.capitalize()}@Example.COM")
    wait_for(lambda: emails_at_synapse(origin, person), 30, what="the address at Synapse")
    first = emails_at_synapse(origin, person)
    assert [*first] == [f"{name}@example.com"]
    add_email(origin, person, f"{name}.second@example.com")
    wait_for(lambda: len(emails_at_synapse(origin, person)) == 2, 30, what="the second address")
    assert emails_at_synapse(origin, person).items() >= first.items(), "nothing was removed and added again"


def test_nothing_is_told_of_a_deactivated_account(origin: OneOrigin, person: Person, name: str) -> None:
    """Synapse would make devices of it."""
    auth = origin.password_auth(person)
    assert person.ask("POST", "account/deactivate", {"auth": auth}).status_code == 200
    wait_for(lambda: (origin.synapse.query_user(name) or {})["is_deactivated"], 30, what="the deactivation")
    assert origin.synapse.mas("upsert_device", localpart=name, device_id="LATE").status_code == 201
    refused = origin.request("POST", f"{V3}/login", None, json={**auth, "device_id": "LATER"})
    assert (refused.status_code, refused.json()["errcode"]) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("wanted", ["_underscore", "4711"])
def test_names_that_synapse_cannot_have_are_refused(origin: OneOrigin, wanted: str) -> None:
    answer = origin.request("GET", f"{V3}/register/available?username={wanted}", None)
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_INVALID_USERNAME")
    assert origin.synapse.mas("provision_user", localpart=wanted).status_code == 400


@pytest.mark.timeout(120)
def test_synapse_does_not_start_with_what_the_guide_says_to_remove(origin: OneOrigin, tmp_path: Path) -> None:
    own = (origin.synapse.directory / "homeserver.yaml").read_text()
    for number, more in enumerate(["", *REFUSED.values()]):
        (tmp_path / f"{number}.yaml").write_text(f"{own}\n{more}\n")
    code = """if True:
        import sys
        from synapse.config._base import ConfigError
        from synapse.config.homeserver import HomeServerConfig
        for path in sys.argv[1:]:
            try:
                HomeServerConfig.load_config("", ["-c", path])
                print("starts")
            except ConfigError as error:
                print(str(error).splitlines()[0])
        """
    paths = [str(tmp_path / f"{number}.yaml") for number in range(len(REFUSED) + 1)]
    said = subprocess.run([str(PYTHON), "-c", code, *paths], capture_output=True, text=True, timeout=90)
    first, *others = said.stdout.splitlines()
    assert (first, len(others)) == ("starts", len(REFUSED)), said.stderr
    assert "starts" not in others


def test_an_administrator_uses_the_admin_api_by_an_app(
    origin: OneOrigin, world: World, person: Person, name: str
) -> None:
    """`guests=false` is needed for the list of users; the `admin` column of Synapse is not looked at."""
    operate(origin, "account", "admin", name)
    app = App(world)
    browser = app.opened(scope=f"{API} {DEVICE}ADMINDEVICE {ADMIN}")
    browser.sign_in(name, PASSWORD)
    tokens = as_tokens(app.exchange(browser.allow()["code"]))
    users = origin.synapse.request("GET", "/_synapse/admin/v2/users?guests=false&limit=1", tokens.access_token)
    assert users.status_code == 200, users.text
    everyone = origin.synapse.request("GET", "/_synapse/admin/v2/users?limit=1", tokens.access_token)
    assert everyone.status_code == 400
    other = origin.synapse.request("GET", "/_synapse/admin/v2/users?guests=false&limit=1", person.token)
    assert other.status_code == 403


def test_a_device_without_a_browser_is_let_in(origin: OneOrigin, world: World, person: Person, name: str) -> None:
    television = Television(world)
    begun = television.begin(scope=f"{API} {DEVICE}TELEVISION")
    assert television.error(begun["device_code"]) == "authorization_pending"
    connect(world, begun, name)
    tokens = as_tokens(television.poll(begun["device_code"]))
    assert origin.whoami(tokens.access_token).json()["device_id"] == "TELEVISION"
    refreshed = as_tokens(television.refresh(tokens.refresh_token))
    assert not origin.is_dead(refreshed.access_token)
    assert person.user_id == origin.whoami(refreshed.access_token).json()["user_id"]
