"""A33: no other server's word proves an address for a registration, a login, a reset or an addition."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_identity_server import V1, V2, FakeIdentityServer, identity_server
from world import PASSWORD, World

C = "/_matrix/client/v3"
VICTIM = "victim@example.com"
NOW = 1_800_000_000_000


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[FakeIdentityServer]:
    """It says of every session that it proves the victim's address."""
    with identity_server() as made:
        for version in (V1, V2):
            made.replies[f"{version}/3pid/getValidated3pid"] = (
                200,
                {"medium": "email", "address": VICTIM, "validated_at": NOW},
            )
            for medium in ("email", "msisdn"):
                made.replies[f"{version}/validate/{medium}/requestToken"] = 200, {"sid": "1"}
                made.replies[f"{version}/validate/{medium}/submitToken"] = 200, {"success": True}
            made.binds("email", VICTIM, version=version)
        yield made


@pytest.fixture
def home(database_url: str, tmp_path: Path, liar: FakeIdentityServer) -> Iterator[World]:
    """Its operator even trusts the liar, for the one operation that asks others."""
    with World(
        database_url,
        tmp_path,
        **liar.settings,
        accounts__deactivate_without_token=True,
        accounts__trusted_identity_servers=["localhost:*"],
        accounts__required_contacts=["email"],
        sms={"via": [{"transport": "console"}], "countries": ["DE"]},
    ) as made:
        yield made


def account(home: World, username: str) -> str:
    """An account by the operator, since registration wants an address; returns its access token."""
    home.run(home.homeserver.registration.create(username, PASSWORD))
    login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": username}, "password": PASSWORD}
    return str(home.post(f"{C}/login", login).json()["access_token"])


def creds(liar: FakeIdentityServer, **more: Any) -> dict[str, Any]:
    return {"sid": "1", "client_secret": "secret", "id_server": liar.name, "id_access_token": "token", **more}


def forms(liar: FakeIdentityServer) -> list[dict[str, Any]]:
    """The credentials in every spelling that was ever taken."""
    old = {"sid": "1", "clientSecret": "secret", "idServer": liar.name}
    return [
        {"threepid_creds": creds(liar)},
        {"threepid_creds": [creds(liar)]},
        {"threepidCreds": old},
        {"threepid_creds": creds(liar), "threepidCreds": old},
    ]


@pytest.mark.parametrize("stage", ["m.login.email.identity", "m.login.msisdn"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("register", {"username": "mallory", "password": "long enough"}),
        ("account/password", {"new_password": "taken over"}),
        ("account/deactivate", {}),
    ],
)
def test_no_stage_asks_the_server_that_is_named(
    home: World, liar: FakeIdentityServer, path: str, body: dict[str, Any], stage: str
) -> None:
    owner = account(home, "owner")
    home.add(owner, home.validated(home.identity_token(owner, "owner"), VICTIM))
    for form in forms(liar):
        session = home.post(f"{C}/{path}", body).json()["session"]
        for auth in ({"type": stage, **form}, {"type": stage, "session": session, **form}):
            refused = home.post(f"{C}/{path}", {**body, "auth": auth})
            assert refused.status_code == 401, refused.text
            assert refused.json().get("completed", []) == []
    assert liar.asked == []
    assert home.get(f"{C}/account/whoami", token=owner).status_code == 200
    assert home.contacts(owner) == [VICTIM]


def test_a_login_takes_no_session_of_another_server(home: World, liar: FakeIdentityServer) -> None:
    owner = account(home, "owner")
    home.add(owner, home.validated(home.identity_token(owner, "owner"), VICTIM))
    identifier = {"type": "m.id.thirdparty", "medium": "email", "address": VICTIM}
    for type_ in ("m.login.email.identity", "m.login.password", "m.login.token"):
        body = {"type": type_, "identifier": identifier, "medium": "email", "address": VICTIM, **forms(liar)[0]}
        for more in ({}, {"password": "wrong"}, {"id_server": liar.name, "token": "1"}):
            assert home.post(f"{C}/login", {**body, **more}).status_code in (400, 403)
    assert liar.asked == []


def test_an_addition_takes_no_session_of_another_server(home: World, liar: FakeIdentityServer) -> None:
    mallory = account(home, "mallory")
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "mallory"}, "password": PASSWORD}
    for body in (creds(liar), {**creds(liar), **forms(liar)[0], "bind": True}):
        refused = home.post(f"{C}/account/3pid/add", {**body, "auth": auth}, token=mallory)
        assert (refused.status_code, refused.json()["errcode"]) == (403, "M_THREEPID_AUTH_FAILED")
    assert home.contacts(mallory) == []
    assert liar.asked == []


@pytest.mark.parametrize("place", ["register", "account/3pid", "account/password"])
def test_messages_are_sent_by_us_whatever_server_is_named(home: World, liar: FakeIdentityServer, place: str) -> None:
    delegate = {"client_secret": "secret", "send_attempt": 1, "id_server": liar.name, "id_access_token": "token"}
    answer = home.post(f"{C}/{place}/email/requestToken", {**delegate, "email": VICTIM})
    assert answer.status_code == 200
    assert answer.json()["submit_url"].startswith("https://matrix.example.org/")
    assert [mail.recipient for mail in home.mails()] == [VICTIM]
    phone = {**delegate, "country": "DE", "phone_number": "01701234567"}
    assert home.post(f"{C}/{place}/msisdn/requestToken", phone).status_code == 200
    assert liar.asked == []


@pytest.mark.parametrize("pattern", [None, "*.example", "localhost", "localhost:8448", "*.localhost:*"])
def test_only_listed_servers_are_asked_for_the_old_way_of_adding(
    database_url: str, tmp_path: Path, liar: FakeIdentityServer, pattern: str | None
) -> None:
    trusted = [] if pattern is None else [pattern]
    with World(database_url, tmp_path, **liar.settings, accounts__trusted_identity_servers=trusted) as home:
        token = account(home, "mallory")
        refused = home.post(f"{C}/account/3pid", {"three_pid_creds": creds(liar), "bind": True}, token=token)
        assert (refused.status_code, refused.json()["errcode"]) == (400, "M_SERVER_NOT_TRUSTED")
        assert home.contacts(token) == []
    assert liar.asked == []


def test_even_a_listed_liar_takes_nothing_from_anybody(home: World, liar: FakeIdentityServer) -> None:
    owner, mallory = account(home, "owner"), account(home, "mallory")
    home.add(owner, home.validated(home.identity_token(owner, "owner"), VICTIM))
    refused = home.post(f"{C}/account/3pid", {"three_pid_creds": creds(liar), "bind": True}, token=mallory)
    assert (refused.status_code, refused.json()["errcode"]) == (400, "M_THREEPID_IN_USE")
    assert liar.paths() == [f"{V2}/3pid/getValidated3pid"]
    # What it says when something is to be bound is remembered for unbinding it, and proves nothing.
    assert home.post(f"{C}/account/3pid/bind", creds(liar), token=mallory).json() == {}
    assert (home.contacts(owner), home.contacts(mallory)) == ([VICTIM], [])
    lookup = home.identity.lookup
    assert lookup is not None
    assert home.run(lookup.lookup_plain([("email", VICTIM)])) == []
