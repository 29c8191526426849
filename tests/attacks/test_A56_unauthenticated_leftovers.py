"""A56: every endpoint that needs a token refuses alike whoever has none, and the old API is there only where it is wanted."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from threepid.api.endpoints import ALL
from threepid.spec.endpoint import Auth, Endpoint
from threepid.spec.endpoint import Path as Route
from world import World

# What anybody may call. Another one must be argued for.
OPEN: Final = {
    # who are you, and what can you do
    "versions", "well_known_client", "well_known_server", "well_known_support", "identity_versions", "federation_version", "ping",
    "get_login", "available", "registration_token_validity", "get_terms", "health_live", "health_ready",
    # public by their nature
    "get_profile", "get_profile_field", "get_server_keys", "get_server_key", "get_public_key", "is_valid",
    "ephemeral_is_valid",
    # by which people get in, each with its own proof
    "register", "request_register_email_token", "request_register_msisdn_token", "post_login", "refresh",
    "token_refresh", "submit_token", "request_reset_email_token", "request_reset_msisdn_token", "openid_userinfo",
    "register_account", "put_on_bind", "post_on_bind",
    # by which apps get in: the browser of a person proves it, or a secret of the app (its code, verifier, token or device code)
    "get_auth_metadata", "register_client", "issue_token", "revoke_token", "authorize_device", "redirect_to_sso",
    "redirect_to_idp",
    # the same for everybody, and in the documentation
    "get_openapi",
}  # fmt: skip
# What takes a token or another proof.
EITHER: Final = {"request_add_email_token", "request_add_msisdn_token", "change_password", "deactivate"}
SIGNED: Final = {"unbind"}
SWITCHES: Final = ["public_keys", "validate", "lookup", "bind"]
OFF: Final = dict.fromkeys(SWITCHES, False)
ROUTES: Final = [(endpoint, route) for endpoint in ALL for route in endpoint.paths]
VARIABLES: Final = re.compile(r"\{([a-z_]+)\}")


def of(*kinds: Auth) -> list[tuple[Endpoint, Route]]:
    return [(endpoint, route) for endpoint, route in ROUTES if endpoint.auth in kinds]


def path_of(route: Route) -> str:
    values = {"user_id": "@alice:example.org"}
    return VARIABLES.sub(lambda match: values.get(match[1], "x"), route.template)


def call(world: World, endpoint: Endpoint, route: Route, **more: Any) -> httpx.Response:
    body: dict[str, Any] | None = None if endpoint.method == "GET" else {}
    return world.call(endpoint.method, path_of(route) + more.pop("query", ""), body, **more)


def shown(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.text


class Tokens:
    """One of each kind, all good for something."""

    def __init__(self, world: World) -> None:
        login = {"type": "m.login.password", "user": "alice", "password": "correct horse battery"}
        self.client = world.register()
        logged_in = world.post("/_matrix/client/v3/login", {**login, "refresh_token": True}).json()
        self.refresh = str(logged_in["refresh_token"])
        self.identity = world.identity_token(self.client)
        path = "/_matrix/client/v3/user/@alice:example.org/openid/request_token"
        self.openid = str(world.post(path, token=self.client).json()["access_token"])
        path = "/_matrix/client/v1/login/get_token"
        self.login = str(world.post(path, {"auth": login}, token=self.client).json()["login_token"])
        self.junk = ["x", "tp_nosuch", "tpi_nosuch", "tp_" + "A" * 43, "null", "0", "' OR 1=1 --", "t" * 4000]


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    switches = dict.fromkeys(SWITCHES, True)
    with World(database_url, tmp_path, identity__v1=switches, sms__countries=["GB"]) as made:
        yield made


def test_what_is_open_to_everybody_is_what_was_argued_for() -> None:
    current = [endpoint for endpoint in ALL if endpoint.switch is None]
    permanent = {endpoint.name for endpoint in current if not endpoint.name.endswith("_v1")}
    by_auth = {auth: {endpoint.name for endpoint in current if endpoint.auth is auth} & permanent for auth in Auth}
    assert by_auth[Auth.NONE] - OPEN == set()
    assert by_auth[Auth.OPTIONAL_ACCESS_TOKEN] == EITHER
    assert by_auth[Auth.OPTIONAL_SIGNATURE] == SIGNED


def test_every_endpoint_of_accounts_refuses_alike_without_a_token_of_accounts(world: World) -> None:
    tokens = Tokens(world)
    missing, unknown = set(), set()
    for endpoint, route in of(Auth.ACCESS_TOKEN):
        missing.add(shown(call(world, endpoint, route)))
        for header in ("", "Bearer", "Bearer ", f"Basic {tokens.client}", f"{tokens.client}", f"Token {tokens.client}"):
            missing.add(shown(call(world, endpoint, route, headers={"Authorization": header})))
        for token in (tokens.identity, tokens.refresh, tokens.openid, tokens.login, *tokens.junk):
            unknown.add(shown(call(world, endpoint, route, token=token)))
    assert {(status, "M_MISSING_TOKEN" in text) for status, text in missing} == {(401, True)}
    assert {(status, "M_UNKNOWN_TOKEN" in text) for status, text in unknown} == {(401, True)}
    assert len(missing) == len(unknown) == 1


def test_a_wrong_token_is_not_taken_for_none(world: World) -> None:
    tokens = Tokens(world)
    for endpoint, route in of(Auth.OPTIONAL_ACCESS_TOKEN):
        for token in (tokens.identity, tokens.refresh, tokens.openid, tokens.login, *tokens.junk):
            answer = call(world, endpoint, route, token=token)
            assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")


def test_every_endpoint_of_the_identity_server_refuses_alike_without_its_token(world: World) -> None:
    tokens = Tokens(world)
    answers = set()
    for endpoint, route in of(Auth.IDENTITY_TOKEN):
        answers.add(shown(call(world, endpoint, route)))
        for header in ("", "Bearer", f"Basic {tokens.identity}", f"{tokens.identity}"):
            answers.add(shown(call(world, endpoint, route, headers={"Authorization": header})))
        for token in (tokens.client, tokens.refresh, tokens.openid, tokens.login, *tokens.junk):
            answers.add(shown(call(world, endpoint, route, token=token)))
        answers.add(shown(call(world, endpoint, route, query=f"?access_token={tokens.client}")))
    assert len(answers) == 1
    ((status, text),) = answers
    assert status == 401
    assert "M_UNAUTHORIZED" in text


def test_a_token_in_the_query_is_taken_on_the_old_paths_only(world: World) -> None:
    tokens = Tokens(world)
    for endpoint, route in of(Auth.ACCESS_TOKEN):
        if endpoint.name in ("logout", "logout_all"):
            continue  # they would end what the others need
        answer = call(world, endpoint, route, query=f"?access_token={tokens.client}")
        if route.family in ("r0", "unstable"):
            assert answer.status_code != 401 or "flows" in answer.json(), route
        else:
            assert (answer.status_code, answer.json()["errcode"]) == (401, "M_MISSING_TOKEN"), route


def test_no_token_in_the_query_is_taken_where_none_is_wanted(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, server__query_token=[]) as world:
        tokens = Tokens(world)
        for endpoint, route in of(Auth.ACCESS_TOKEN):
            answer = call(world, endpoint, route, query=f"?access_token={tokens.client}")
            assert (answer.status_code, answer.json()["errcode"]) == (401, "M_MISSING_TOKEN")
        for endpoint, route in of(Auth.IDENTITY_TOKEN):
            answer = call(world, endpoint, route, query=f"?access_token={tokens.identity}")
            if endpoint.name == "hash_details":  # the one that homeservers call so
                assert answer.status_code == 200
            else:
                assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNAUTHORIZED")


def test_a_right_token_opens_them(world: World) -> None:
    """So that the refusals above say something."""
    tokens = Tokens(world)
    for endpoint, route in of(Auth.ACCESS_TOKEN):
        if endpoint.name not in ("logout", "logout_all"):
            answer = call(world, endpoint, route, token=tokens.client)
            assert answer.status_code != 401 or "flows" in answer.json(), route
    for endpoint, route in of(Auth.IDENTITY_TOKEN):
        if endpoint.name != "logout_account":
            assert call(world, endpoint, route, token=tokens.identity).status_code != 401, route


# -- the old identity API


def v1_routes() -> list[tuple[Endpoint, Route]]:
    return [(endpoint, route) for endpoint, route in ROUTES if route.family == "identity_v1"]


def is_there(world: World, endpoint: Endpoint, route: Route) -> bool:
    answer = call(world, endpoint, route)
    return not (answer.status_code == 404 and answer.json()["errcode"] == "M_UNRECOGNIZED")


@pytest.mark.parametrize("switch", [None, *SWITCHES])
def test_each_switch_opens_its_part_of_the_old_api_and_nothing_else(
    database_url: str, tmp_path: Path, switch: str | None
) -> None:
    v1 = OFF if switch is None else {**OFF, switch: True}
    with World(database_url, tmp_path, identity__v1=v1, sms__countries=["GB"]) as world:
        wanted = {f"v1.{switch}"} if switch else set()
        for endpoint, route in v1_routes():
            assert is_there(world, endpoint, route) == (endpoint.switch is None or endpoint.switch in wanted), route


def test_what_of_the_old_api_has_no_switch_tells_nothing() -> None:
    assert {endpoint.name for endpoint, _ in v1_routes() if endpoint.switch is None} == {"ping_v1"}


def test_only_the_public_keys_of_the_old_api_are_there_by_default(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        for endpoint, route in v1_routes():
            assert is_there(world, endpoint, route) == (endpoint.switch in (None, "v1.public_keys")), route


def test_only_the_homeservers_that_are_listed_validate_without_a_token(database_url: str, tmp_path: Path) -> None:
    v1 = {**OFF, "validate": True, "validate_from": ["192.0.2.0/28", "2001:db8:7::/48"]}
    proxies: dict[str, Any] = {"server__trusted_proxies": ["127.0.0.1"]}
    with World(database_url, tmp_path, identity__v1=v1, sms__countries=["GB"], **proxies) as world:
        routes = [(endpoint, route) for endpoint, route in v1_routes() if endpoint.switch == "v1.validate"]
        assert len(routes) >= 3
        bodies = {
            "email": {"client_secret": "s", "email": "a@b.example", "send_attempt": 1},
            "msisdn": {"client_secret": "s", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1},
        }
        session = {"sid": "nosuch", "client_secret": "s"}
        for endpoint, route in routes:
            medium = "msisdn" if "msisdn" in route.template else "email"
            body = bodies[medium] if "requestToken" in route.template else {**session, "token": "123456"}
            query = "?sid=nosuch&client_secret=s" if endpoint.method == "GET" else ""
            statuses = {
                source: world.call(
                    endpoint.method,
                    route.template + query,
                    None if endpoint.method == "GET" else body,
                    headers={"X-Forwarded-For": source},
                ).status_code
                for source in (
                    "192.0.2.15",
                    "2001:db8:7:1::1",
                    "192.0.2.16",
                    "2001:db8:8::1",
                    "192.0.2.1, 203.0.113.9",
                    "not an address",
                    "",
                )
            }
            assert [status == 403 for status in statuses.values()] == [False, False, True, True, True, True, True]
        assert {mail.recipient for mail in world.mails()} == {"a@b.example"}


def test_a_caller_does_not_say_itself_where_it_comes_from(database_url: str, tmp_path: Path) -> None:
    v1 = {**OFF, "validate": True, "validate_from": ["192.0.2.0/28"]}
    with World(database_url, tmp_path, identity__v1=v1, server__trusted_proxies=[]) as world:
        body = {"client_secret": "s", "email": "a@b.example", "send_attempt": 1}
        path = "/_matrix/identity/api/v1/validate/email/requestToken"
        answer = world.post(path, body, headers={"X-Forwarded-For": "192.0.2.1", "X-Real-IP": "192.0.2.1"})
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
        assert world.mails() == []
