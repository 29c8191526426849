"""An app signs in by the authorization code grant."""

from pathlib import Path
from urllib.parse import quote

import pytest

from oauth_app import API, CALLBACK, CHALLENGE, DEVICE, SCOPE, App, Consenting, as_tokens, query_of, whoami
from threepid.clock import MINUTE
from threepid.storage import accounts
from world import PASSWORD, World

UNSTABLE = "urn:matrix:org.matrix.msc2967.client:"
ADMIN = "urn:synapse:admin:*"


def test_an_app_signs_in_and_uses_the_account(world: World) -> None:
    world.register()
    app = App(world)
    browser = app.opened()
    assert browser.page.heading == "Sign in"
    browser.sign_in()
    assert browser.page.heading == "Let Element use your account?"
    assert {"app.example.com", "ABCDEFGHIJ"} <= set(browser.page.strong)
    assert "@alice:example.org" in browser.page.text
    told = browser.allow()
    assert browser.left.startswith("https://app.example.com/callback?")
    assert (told["state"], told["iss"]) == ("the state", "https://matrix.example.org/")
    tokens = as_tokens(app.exchange(told["code"]))
    assert (tokens.token_type, tokens.expires_in) == ("Bearer", 300)
    assert tokens.scope == f"{API} {DEVICE}ABCDEFGHIJ"
    assert whoami(world, tokens.access_token).json() == {
        "user_id": "@alice:example.org",
        "device_id": "ABCDEFGHIJ",
        "is_guest": False,
    }
    devices = world.get("/_matrix/client/v3/devices", token=tokens.access_token).json()["devices"]
    assert ("ABCDEFGHIJ", "Element") in [(one["device_id"], one["display_name"]) for one in devices]


def test_the_answer_can_come_in_the_fragment(world: World) -> None:
    world.register()
    browser = App(world).opened(response_mode="fragment")
    browser.sign_in()
    assert set(browser.allow()) == {"code", "state", "iss"}
    assert browser.left.startswith("https://app.example.com/callback#code=")


def test_without_a_state_none_is_answered(world: World) -> None:
    world.register()
    browser = App(world).opened(state=None)
    browser.sign_in()
    assert set(browser.allow()) == {"code", "iss"}


def test_parameters_without_a_value_count_as_left_out(world: World) -> None:
    """https://www.rfc-editor.org/rfc/rfc6749#section-3.1."""
    world.register()
    browser = App(world).opened(response_mode="", state="", prompt="", login_hint="")
    browser.sign_in()
    browser.press("Allow")
    assert "state" not in query_of(browser.left)
    assert set(query_of(browser.left)) == set(browser.told()) == {"code", "iss"}
    told = App(world).opened(response_type="").told()
    assert (told["error"], told["error_description"]) == ("invalid_request", "response_type is missing.")


def test_who_does_not_allow_it_is_sent_back_with_an_error(world: World) -> None:
    world.register()
    browser = App(world).opened()
    browser.sign_in()
    browser.press("Don't allow")
    assert browser.told()["error"] == "access_denied"
    assert browser.told()["state"] == "the state"


def test_the_person_is_asked_every_time(world: World) -> None:
    world.register()
    app = App(world)
    browser = app.opened()
    browser.sign_in()
    browser.allow()
    browser.open(app.url())
    assert browser.page.heading == "Let Element use your account?"


def test_the_form_of_the_drafts_is_answered_in_the_same_form(world: World) -> None:
    world.register()
    scope = f"openid {UNSTABLE}api:* {UNSTABLE}device:ABCDEFGHIJ"
    assert App(world).tokens(scope=scope).scope == f"{UNSTABLE}api:* {UNSTABLE}device:ABCDEFGHIJ"


@pytest.mark.parametrize(
    "scope",
    [
        "",
        API,
        f"{DEVICE}ABCDEFGHIJ",
        f"{API} {DEVICE}ABCDEFGHIJ {DEVICE}ABCDEFGHIK",
        f"{API} {UNSTABLE}device:ABCDEFGHIJ",
        f"{API} {DEVICE}ABCDEFGHIJ {UNSTABLE}api:*",
        f"{API} {DEVICE}short",
        f"{API} {DEVICE}ABCDEFGH%J",
        f"{API} {DEVICE}ABCDEFGHÄJ",
        f"{API} {DEVICE}{'A' * 256}",
        ADMIN,
    ],
)
def test_a_scope_without_exactly_one_device_and_the_api_is_an_error_for_the_app(world: World, scope: str) -> None:
    told = App(world).opened(scope=scope).told()
    assert (told["error"], told["state"]) == ("invalid_scope", "the state")


def test_an_app_can_ask_for_a_new_account(world: World) -> None:
    app = App(world)
    browser = app.opened(prompt="create")
    assert browser.page.heading == "Create an account"
    browser.press("Continue", username="bob", password=PASSWORD)
    browser.press("Create the account without a contact")
    assert browser.page.heading == "Let Element use your account?"
    tokens = as_tokens(app.exchange(browser.allow()["code"]))
    assert whoami(world, tokens.access_token).json()["user_id"] == "@bob:example.org"


def test_a_registration_with_a_contact_comes_back_to_the_app(world: World) -> None:
    browser = App(world).opened(prompt="create")
    browser.press("Continue", username="bob", password=PASSWORD)
    browser.follow("Add an email address")
    browser.press("Send me a code", address="bob@example.com")
    browser.press("Continue", code=world.mail().code)
    assert browser.page.heading == "Let Element use your account?"


def test_where_nothing_else_is_asked_the_registration_comes_back_at_once(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, email=None) as world:
        browser = App(world).opened(prompt="create")
        browser.press("Continue", username="bob", password=PASSWORD)
        assert browser.page.heading == "Let Element use your account?"


def test_where_registration_is_closed_the_app_gets_the_sign_in_page(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__registration="closed") as world:
        assert App(world).opened(prompt="create").page.heading == "Sign in"


def test_from_signing_in_people_can_create_an_account_and_back(world: World) -> None:
    browser = App(world).opened()
    browser.follow("Create an account")
    browser.follow("Sign in")
    browser.follow("Create an account")
    browser.press("Continue", username="bob", password=PASSWORD)
    browser.press("Create the account without a contact")
    assert browser.page.heading == "Let Element use your account?"


@pytest.mark.parametrize(("hint", "name"), [("mxid:@alice:example.org", "@alice:example.org"), ("alice", "alice")])
def test_the_name_that_the_app_knows_is_filled_in(world: World, hint: str, name: str) -> None:
    assert App(world).opened(login_hint=hint).page.fields["name"] == name


def test_another_account_can_be_used(world: World) -> None:
    world.register()
    world.register("bob")
    app = App(world)
    browser = app.opened()
    browser.sign_in()
    browser.press("Use another account")
    browser.sign_in("bob")
    tokens = as_tokens(app.exchange(browser.allow()["code"]))
    assert whoami(world, tokens.access_token).json()["user_id"] == "@bob:example.org"


def test_a_device_that_exists_is_taken_over_and_what_it_had_ends(world: World) -> None:
    world.register()
    app = App(world)
    first = app.tokens()
    browser = app.opened()
    browser.sign_in()
    assert "takes the place" in browser.page.text
    second = as_tokens(app.exchange(browser.allow()["code"]))
    assert whoami(world, first.access_token).status_code == 401
    assert app.refresh(first.refresh_token).json()["error"] == "invalid_grant"
    assert whoami(world, second.access_token).status_code == 200


def test_the_old_login_takes_a_device_over_from_an_app(world: World) -> None:
    world.register()
    tokens = App(world).tokens()
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": PASSWORD,
        "device_id": "ABCDEFGHIJ",
    }
    token = world.post("/_matrix/client/v3/login", login).json()["access_token"]
    assert whoami(world, tokens.access_token).status_code == 401
    asked = world.post("/_matrix/client/v3/delete_devices", {"devices": []}, token=token)
    assert (asked.status_code, "flows" in asked.json()) == (401, True)


def test_native_apps_are_answered_on_any_port_of_loopback_and_at_their_scheme(world: World) -> None:
    world.register()
    uris = ["http://127.0.0.1/cb", "http://[::1]/cb", "com.example.app.ios:/cb"]
    app = App(world, application_type="native", redirect_uris=uris)
    for uri, source in (
        ("http://127.0.0.1:51515/cb", "http://127.0.0.1:51515"),
        ("http://[::1]:51515/cb", "http:"),
        ("com.example.app.ios:/cb", "com.example.app.ios:"),
    ):
        browser = app.opened(redirect_uri=uri)
        browser.sign_in()
        assert browser.policy("form-action") == f"'self' {source}"
        code = browser.allow()["code"]
        assert browser.left.startswith(f"{uri}?code=")
        assert app.exchange(code, redirect_uri=uri).status_code == 200


# -- the administration of the homeserver


def make_admin(world: World, user_id: str = "@alice:example.org") -> None:
    now = world.clock.now()
    assert world.run(world.database.write(lambda tx: accounts.set_admin(tx, user_id, now)))


def test_an_administrator_confirms_and_reads_it_in_large_words(world: World) -> None:
    world.register()
    make_admin(world)
    app = App(world)
    browser = app.opened(scope=f"{SCOPE} {ADMIN}")
    browser.sign_in()
    assert "administer the whole server" in browser.page.strong[0]
    world.clock.advance(11 * MINUTE)
    browser.press("Allow")
    assert browser.page.heading == "Confirm that it is you"
    browser.press("Continue", password=PASSWORD)
    assert "administer the whole server" in browser.page.strong[0]
    tokens = as_tokens(app.exchange(browser.allow()["code"]))
    assert tokens.scope == f"{SCOPE} {ADMIN}"


def test_an_ordinary_account_cannot_allow_it_and_the_app_does_not_learn_why(world: World) -> None:
    world.register()
    browser = App(world).opened(scope=f"{SCOPE} {ADMIN}")
    browser.sign_in()
    assert browser.page.problem == "This account may not administer the server."
    assert "Allow" not in browser.page.buttons
    browser.send({"form_token": browser.page.fields["form_token"], "decision": "allow"})
    assert (browser.left, browser.page.status) == ("", 403)
    browser.press("Don't allow")
    assert browser.told()["error"] == "access_denied"


def test_who_is_no_administrator_any_more_refreshes_without_it(world: World) -> None:
    world.register()
    make_admin(world)
    app = App(world)
    tokens = app.tokens(scope=f"{SCOPE} {ADMIN}")
    world.run(world.database.write(lambda tx: accounts.set_admin(tx, "@alice:example.org", None)))
    assert as_tokens(app.refresh(tokens.refresh_token)).scope == SCOPE


def test_the_consent_survives_signing_in_when_the_session_ended_meanwhile(world: World) -> None:
    world.register()
    app = App(world)
    browser = app.opened()
    browser.sign_in()
    browser.cookies.clear()
    browser.press("Allow")
    assert browser.page.heading == "Sign in"
    browser.sign_in()
    assert browser.page.heading == "Let Element use your account?"


def test_the_request_is_taken_as_apps_write_it(world: World) -> None:
    world.register()
    app = App(world)
    plain = (
        f"/oauth2/authorize?response_type=code&client_id={app.client_id}&redirect_uri={quote(CALLBACK)}"
        f"&scope=urn:matrix:client:api:*%20urn:matrix:client:device:ABCDEFGHIJ&state=a+b"
        f"&code_challenge={CHALLENGE}&code_challenge_method=S256"
    )
    browser = Consenting(world, plain)
    browser.sign_in()
    assert browser.allow()["state"] == "a b"


def test_a_forgotten_password_leads_back_to_the_app(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.mails()
    world.clock.advance(1)
    app = App(world)
    for by_link in (False, True):
        browser = app.opened()
        browser.follow("Forgotten your password?")
        browser.press("Send me a code", address="alice@example.com")
        mail = world.mail_with_code()
        if by_link:
            browser.open(mail.link)
        else:
            browser.press("Continue", code=mail.code)
        browser.press("Save and sign in", password="another long password")
        assert browser.page.heading == "Let Element use your account?"
        assert as_tokens(app.exchange(browser.allow()["code"])).scope == SCOPE
        assert not [name for name in browser.cookies if "after" in name]
        world.clock.advance(60 * MINUTE)


def test_a_reset_that_starts_again_still_leads_back_to_the_app(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.mails()
    world.clock.advance(1)
    browser = App(world).opened()
    browser.follow("Forgotten your password?")
    browser.press("Send me a code", address="nobody@example.com")
    browser.follow("Use another address")
    browser.press("Send me a code", address="alice@example.com")
    browser.press("Continue", code=world.mail().code)
    browser.press("Save and sign in", password="another long password")
    assert browser.page.heading == "Let Element use your account?"


def test_who_remembers_the_password_after_all_gets_back_to_the_app(world: World) -> None:
    world.register()
    browser = App(world).opened()
    browser.follow("Forgotten your password?")
    browser.follow("Back to the sign-in page")
    browser.sign_in()
    assert browser.page.heading == "Let Element use your account?"


def test_a_reset_for_its_own_sake_does_not_lead_to_an_app_of_before(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.mails()
    world.clock.advance(1)
    browser = App(world).opened()
    browser.follow("Forgotten your password?")
    browser.press("Send me a code", address="alice@example.com")
    world.mail()
    world.clock.advance(MINUTE)
    browser.open("/account/forgot")
    browser.press("Send me a code", address="alice@example.com")
    browser.press("Continue", code=world.mail().code)
    browser.press("Save and sign in", password="another long password")
    assert browser.path == "/account/"


def test_a_registration_that_takes_several_pages_leads_back_to_the_app(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__required_contacts=["email"]) as world:
        browser = App(world).opened(prompt="create")
        browser.press("Continue", username="alice", password=PASSWORD)
        (button,) = (one for one in browser.page.buttons if one != "Sign out")
        browser.press(button, address="alice@example.com")
        browser.press("Continue", code=world.mail().code)
        assert browser.page.heading == "Let Element use your account?"


def test_a_registration_that_starts_again_leads_back_to_the_app(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__required_contacts=["email"]) as world:
        browser = App(world).opened(prompt="create")
        browser.press("Continue", username="alice", password=PASSWORD)
        world.clock.advance(3 * 24 * 60 * MINUTE)
        browser.open("/account/register/next")
        assert browser.path.startswith("/account/register?next=")
        browser.follow("Sign in")
        assert browser.path.startswith("/account/sign-in?next=%2Foauth2%2Fauthorize")
