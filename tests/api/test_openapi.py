"""The OpenAPI description: a valid document, of the endpoints that are served, whose examples and answers fit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api_cases import CASES, EVERYTHING_ON, METHODS, People
from described import Description, examples
from threepid.api.endpoints import ADMIN, ALL, BOUNCES, IDENTITY, OAUTH, OWN
from threepid.api.openapi.document import document
from threepid.api.openapi.reference import reference
from threepid.api.openapi.words import REQUESTS
from world import World

BASE = "https://matrix.example.org"
WHOLE = document(ALL, ALL, base=BASE, query_token=("r0",))


def test_the_document_is_valid() -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(WHOLE).iter_errors()] == []


def test_every_declared_endpoint_is_described_at_all_its_paths() -> None:
    declared = {(path.template, endpoint.method.lower()) for endpoint in ALL for path in endpoint.paths}
    described = {(path, method) for path, methods in WHOLE["paths"].items() for method in methods}
    assert described == declared


def test_every_operation_says_what_it_does_and_who_may_call_it() -> None:
    for methods in WHOLE["paths"].values():
        for operation in methods.values():
            assert len(operation["summary"]) >= len("Log in"), operation
            assert ". " not in operation["summary"], operation
            assert "https://" not in operation["summary"]
            assert all(name in WHOLE["components"]["securitySchemes"] for one in operation["security"] for name in one)


def test_every_parameter_and_member_says_what_it_is() -> None:
    silent = [
        (told.name, field.name)
        for told in reference(ALL, ALL, base=BASE, query_token=())
        for field in (*told.parameters, *told.body, *told.answer)
        if not field.text.removesuffix("In the path.").removesuffix("In the query.").strip()
    ]
    assert silent == []


def test_a_parameter_with_names_as_values_is_a_string() -> None:
    entries = {told.name: told for told in reference(ALL, ALL, base=BASE, query_token=())}
    types = {field.name: field.type for field in entries["read_audit_log"].parameters}
    assert (types["event"], types["account"]) == ("string or null", "string or null")


def test_operations_have_different_names_and_the_newest_has_the_plain_one() -> None:
    names = [operation["operationId"] for methods in WHOLE["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert WHOLE["paths"]["/_matrix/client/v3/login"]["post"]["operationId"] == "post_login"
    assert {endpoint.name for endpoint in ALL} <= set(names)


def test_every_example_fits_its_schema() -> None:
    description = Description(WHOLE)
    found = list(examples(WHOLE))
    assert len(found) > 400
    for place, schema, example in found:
        assert description.complaints(schema, example) == [], place


def test_an_example_that_does_not_fit_would_be_noticed() -> None:
    schema = WHOLE["paths"]["/_matrix/client/v3/login"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert Description(WHOLE).complaints(schema, {"type": 1}) == ["1 is not of type 'string'"]


def test_every_own_example_belongs_to_an_endpoint_with_a_body() -> None:
    assert set(REQUESTS) <= {endpoint.name for endpoint in ALL if endpoint.body_type or endpoint.reads}


def test_authentication_is_described() -> None:
    def security(path: str, method: str) -> Any:
        return WHOLE["paths"][path][method]["security"]

    assert security("/_matrix/client/v3/account/3pid", "get") == [{"accessToken": []}]
    assert security("/_matrix/client/r0/account/3pid", "get") == [{"accessToken": []}, {"accessTokenInQuery": []}]
    assert security("/_matrix/client/v3/account/deactivate", "post") == [{}, {"accessToken": []}]
    assert security("/_matrix/identity/v2/lookup", "post") == [{"identityToken": []}]
    assert security("/_threepid/admin/v1/accounts", "get") == [{"operatorToken": ["accounts:read"]}]
    assert security("/_matrix/client/versions", "get") == []


def test_errors_stand_by_their_status() -> None:
    answers = WHOLE["paths"]["/_matrix/client/v3/register"]["post"]["responses"]
    conflict = WHOLE["components"]["responses"][answers["400"]["$ref"].rpartition("/")[2]]["description"]
    assert "`M_USER_IN_USE`" in conflict
    identity = WHOLE["paths"]["/_matrix/identity/v2/lookup"]["post"]["responses"]["400"]["$ref"]
    assert "`M_MISSING_PARAMS`" in WHOLE["components"]["responses"][identity.rpartition("/")[2]]["description"]


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({"accounts": None}, {*IDENTITY, *OWN}),
        ({"identity": None}, {*(one for one in ALL if one not in {*IDENTITY, *BOUNCES, *ADMIN})}),
        ({"identity": None, "oauth__enabled": False}, {*(one for one in ALL if one not in {*IDENTITY, *BOUNCES, *ADMIN, *OAUTH})}),
        ({"accounts": None, "admin__networks": ["127.0.0.1"]}, {*IDENTITY, *OWN, *ADMIN}),
    ],
    ids=["identity server alone", "accounts alone", "without OAuth", "with the admin API"],
)  # fmt: skip
def test_only_what_is_served_is_described(database_url: str, tmp_path: Path, changes: Any, there: set[Any]) -> None:
    with World(database_url, tmp_path, **changes) as world:
        answer = world.get("/openapi.json")
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        served = answer.json()
        assert list(OpenAPIV31SpecValidator(served).iter_errors()) == []
        expected = {path.template for one in there if one.switch in (None, "v1.public_keys") for path in one.paths}
        assert set(served["paths"]) == expected
        assert served["servers"] == [{"url": BASE}]
        used = {name for name in served["components"]["schemas"] if f'schemas/{name}"' in answer.text}
        assert set(served["components"]["schemas"]) - used <= {"Error", "OAuthError", "AuthenticationRequired"}


@pytest.fixture
def everything(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, **EVERYTHING_ON) as world:
        yield world


def test_what_the_server_answers_is_what_is_described(everything: World) -> None:
    """A walk through the APIs, and each request of the other tests: every answer has a described status and shape."""
    world = everything
    people = People(world)
    description = Description(world.get("/openapi.json").json())
    admin = people.operator

    def look(method: str, path: str, body: Any = None, *, token: str | None = None) -> Any:
        answer = world.call(method, path, body, token=token)
        assert description.complaints_of(method, path, answer) == [], (method, path, answer.status_code, answer.text)
        return answer

    sid = world.validated(people.identity)
    second = world.validated(people.identity, "second@example.com", secret="second")
    assert world.add(people.client, second, secret="second").status_code == 200
    v3, v2 = "/_matrix/client/v3", "/_matrix/identity/v2"
    seen = set()
    for path in (
        "/_matrix/client/versions", "/.well-known/matrix/client", "/.well-known/matrix/server", "/.well-known/matrix/support",
        f"{v3}/login", f"{v3}/register/available?username=bob", f"{v3}/profile/@alice:example.org",
        f"{v3}/profile/@alice:example.org/displayname", "/_matrix/federation/v1/version", "/_matrix/key/v2/server",
        "/_matrix/client/v1/auth_metadata", "/_matrix/identity/versions", v2, f"{v2}/terms", f"{v2}/pubkey/ed25519:0",
        f"{v2}/pubkey/isvalid?public_key=x", "/_threepid/health/live", "/_threepid/health/ready", "/openapi.json",
        "/_matrix/identity/api/v1/lookup?medium=email&address=nobody@example.com",
        f"{v3}/login/sso/redirect?redirectUrl=https://app.example/", f"{v3}/login/sso/redirect/x?redirectUrl=https://app.example/",
        "/_matrix/client/v1/register/m.login.registration_token/validity?token=x",
        "/_matrix/federation/v1/openid/userinfo?access_token=x", f"{v3}/login/nothing",
    ):  # fmt: skip
        if look("GET", path).status_code < 400:
            seen.add(path)
    assert len(seen) > 15
    for path in (
        "account/whoami", "account/3pid", "devices", "capabilities", "pushrules/", "user/@alice:example.org/filter/0",
        "sync", "admin/whois/@alice:example.org",
    ):  # fmt: skip
        assert look("GET", f"{v3}/{path}", token=people.client).status_code == 200, path
        assert look("GET", f"{v3}/{path}").status_code == 401
        assert look("GET", f"{v3}/{path}", token="wrong").status_code == 401
    for path in ("account", "hash_details", f"3pid/getValidated3pid?sid={sid}&client_secret=secret"):
        assert look("GET", f"{v2}/{path}", token=people.identity).status_code == 200, path
        assert look("GET", f"{v2}/{path}").status_code == 401
    bound = {"sid": sid, "client_secret": "secret", "mxid": "@alice:example.org"}
    assert look("POST", f"{v2}/3pid/bind", bound, token=people.identity).status_code == 200
    found = look("GET", "/_matrix/identity/api/v1/lookup?medium=email&address=alice@example.com").json()
    assert found["mxid"] == "@alice:example.org"
    for path in (
        "accounts",
        "accounts/alice",
        "accounts/alice/messages",
        "accounts/alice/remains",
        "messages",
        "messages?failed=true",
        "suppressions",
        "invites",
        "invites?address=a@b.example",
        "invites?address=a@b.example&medium=email",
        "audit",
        "audit/sums",
    ):
        look("GET", f"/_threepid/admin/v1/{path}", token=admin)
        look("GET", f"/_threepid/admin/v1/{path}")
    app = {"client_uri": "https://app.example/", "redirect_uris": ["https://app.example/"], "client_name": "App"}
    assert look("POST", "/oauth2/clients/register", app).status_code == 201
    assert look("POST", "/oauth2/clients/register", {"client_uri": 1}).status_code == 400
    login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "wrong"}
    assert look("POST", f"{v3}/login", login).status_code == 403
    assert look("POST", f"{v3}/register", {}).status_code == 401
    for name, (path, kind, body) in CASES.items():
        for sent in (body, {}, {**body, "extra": 1}, b"[]", b"{"):
            look(METHODS[name], path, sent, token=people.token(kind))
            look(METHODS[name], path, sent)
