"""Every declared endpoint against the specification: path, method, authentication, fields, deprecation."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from msgspec import UNSET, Struct, UnsetType

import specification
from threepid.api.call import Call, UserCall
from threepid.api.endpoints import ADMIN, ALL
from threepid.spec.endpoint import Auth, Endpoint, client, endpoint
from world import World

THERE = (specification.DIRECTORY / specification.BUNDLES[0]).is_file()
needs_specification = pytest.mark.skipif(
    not THERE, reason=f"the specification's files are not in {specification.DIRECTORY}"
)
KNOWN = specification.operations() if THERE else {}

# Endpoints that today's specification does not have, and why they are here.
NOT_IN_TODAYS = {
    "get_push_rules": "clients do not start without it; the bundle holds the account API only",
    "define_filter": "likewise",
    "get_filter": "likewise",
    "token_refresh": "of the seed's time; today it is called refresh",
    "submit_token": "the specification leaves the path of submit_url to the homeserver",
    "get_profile": "of the Client-Server API, but its bundle here has not got it",
    "get_profile_field": "of the Client-Server API, but its bundle here has not got it",
    "set_profile_field": "of the Client-Server API, but its bundle here has not got it",
    "whois": "of the Client-Server API, but its bundle here has not got it",
    "sync": "of the Client-Server API, but its bundle here has not got it",
    "delete_profile_field": "of the Client-Server API, but its bundle here has not got it",
    "get_server_keys": "Server-Server API, which has no bundle here",
    "get_server_key": "of the Server-Server API before v1.6; older servers still ask so",
    "register_client": "RFC 7591: the server's metadata names its path",
    "issue_token": "RFC 6749: likewise",
    "revoke_token": "RFC 7009: likewise",
    "authorize_device": "RFC 8628: likewise",
    "introspect": "RFC 7662: for a homeserver",
    "put_on_bind": "Server-Server API, which has no bundle here",
    "post_on_bind": "as identity servers of the Sydent family call it",
    "well_known_server": "Server-Server API, which has no bundle here",
    "federation_version": "Server-Server API, which has no bundle here",
    "openid_userinfo": "Server-Server API, which has no bundle here",
    "health_live": "ours: for load balancers and supervisors",
    "health_ready": "likewise",
    "take_bounce": "ours: for mail servers",
    "get_openapi": "ours: the description of everything else",
}


@needs_specification
@pytest.mark.parametrize("declared", ALL, ids=repr)
def test_the_declaration_is_what_the_specification_says(declared: Endpoint) -> None:
    if any(path.family == "identity_v1" for path in declared.paths):
        return  # of the historical specification, for which there is no OpenAPI description
    if declared in ADMIN:
        assert all(path.template.startswith("/_threepid/admin/v1/") for path in declared.paths)
        return  # ours
    operation = specification.of(declared, KNOWN)
    if operation is None:
        assert declared.name in NOT_IN_TODAYS
        return
    assert specification.complaints(declared, operation) == []


@needs_specification
def test_every_exception_is_needed() -> None:
    by_name = {declared.name: declared for declared in ALL}
    for name, field in specification.NOT_REQUIRED_HERE:
        operation = specification.of(by_name[name], KNOWN)
        assert operation is not None
        assert field in operation.body["required"]
    for name, field in specification.IGNORED_HERE:
        operation = specification.of(by_name[name], KNOWN)
        assert operation is not None
        assert field in operation.body["properties"]
        assert field not in {one.encode_name for one in msgspec.structs.fields(by_name[name].body_type)}


@needs_specification
def test_the_pages_that_stand_for_operations_are_on_the_specifications_paths() -> None:
    operation = KNOWN["GET", "/_matrix/identity/v2/validate/email/submitToken"]
    assert [parameter["name"] for parameter in operation.query] == ["sid", "client_secret", "token"]


@needs_specification
def test_the_association_has_the_fields_that_the_specification_requires(world: World) -> None:
    token = world.register()
    identity = world.identity_token(token)
    sid = world.validated(identity)
    body = {"sid": sid, "client_secret": "secret", "mxid": "@alice:example.org"}
    answer = world.post("/_matrix/identity/v2/3pid/bind", body, token=identity).json()
    required = KNOWN["POST", "/_matrix/identity/v2/3pid/bind"].answer["required"]
    assert set(required) <= set(answer)
    assert len(required) >= 6


def test_the_seed_of_2016_is_served_as_it_stood(world: World) -> None:
    file = specification.DIRECTORY / "2016" / "client-server" / "administrative_contact.yaml"
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    description = yaml.safe_load(file.read_text(encoding="utf-8"))["paths"]["/account/3pid"]
    creds = description["post"]["parameters"][0]["schema"]["properties"]["three_pid_creds"]
    assert creds["required"] == ["client_secret", "id_server", "sid"]
    token = world.register()
    sid = world.validated(world.identity_token(token))
    for family in ("r0", "v3", "unstable"):
        path = f"/_matrix/client/{family}/account/3pid"
        body: dict[str, Any] = {
            "three_pid_creds": {"client_secret": "secret", "id_server": "matrix.example.org", "sid": sid},
            "bind": False,
        }
        for missing in creds["required"]:
            without = {name: value for name, value in body["three_pid_creds"].items() if name != missing}
            refused = world.post(path, {"three_pid_creds": without}, token=token)
            assert (refused.status_code, refused.json()["errcode"]) == (400, "M_MISSING_PARAM")
        wrong = world.post(path, {"three_pid_creds": {**body["three_pid_creds"], "sid": "other"}}, token=token)
        example = description["post"]["responses"][403]["examples"]["application/json"]
        assert wrong.status_code == 403
        assert wrong.json()["errcode"] == yaml.safe_load(example)["errcode"]
        assert world.post(path, body, token=token).json() == {}
        (threepid,) = world.get(path, token=token).json()["threepids"]
        item = description["get"]["responses"][200]["schema"]["properties"]["threepids"]["items"]
        assert set(item["properties"]) <= set(threepid)
        assert threepid["medium"] in item["properties"]["medium"]["enum"]


# -- the check itself can fail


class Answer(Struct):
    """An answer without what is required."""

    other: str


class NoQuery(Struct):
    """A query that requires nothing."""

    username: str | UnsetType = UNSET


def judged(declared: Endpoint) -> list[str]:
    operation = specification.of(declared, KNOWN)
    assert operation is not None
    return specification.complaints(declared, operation)


@needs_specification
def test_wrong_declarations_are_found() -> None:
    async def whoami(call: Call) -> Answer:
        """Wrong in all ways."""
        raise NotImplementedError

    path = client("/account/whoami", "v3")
    assert any("authentication" in one for one in judged(endpoint("GET", path, auth=Auth.NONE)(whoami)))
    assert "answer has no user_id" in judged(endpoint("GET", path, auth=Auth.NONE)(whoami))

    async def post(call: UserCall) -> None:
        """Not deprecated, and without a body."""

    found = judged(endpoint("POST", client("/account/3pid", "v3"), auth=Auth.ACCESS_TOKEN)(post))
    assert "the body has no three_pid_creds" in found
    assert any("deprecated" in one for one in found)

    async def available(call: Call, query: NoQuery) -> None:
        """Does not require what is required."""

    found = judged(endpoint("GET", client("/register/available", "v3"), auth=Auth.NONE)(available))
    assert "the query does not require username" in found

    async def missing(call: Call) -> None:
        """At a path that the specification does not have."""

    assert specification.of(endpoint("GET", client("/account/nothing", "v3"), auth=Auth.NONE)(missing), KNOWN) is None


def test_the_directory_of_the_specification_is_beside_the_project() -> None:
    assert specification.DIRECTORY.name == "spec" or Path(specification.DIRECTORY).exists()
