"""POST /lookup and GET /hash_details as clients see them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from threepid.spec.lookup_hash import lookup_hash
from world import World

V2 = "/_matrix/identity/v2"
V1 = "/_matrix/identity/api/v1"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(
        database_url,
        tmp_path,
        limits__all="on",
        identity__lookup_algorithms=["sha256", "none"],
        identity__lookup_limit=300,
        identity__lookup_budget_per_day=400,
        identity__token_days=0,
        identity__v1={"lookup": True},
        server__trusted_proxies=["127.0.0.1"],
    ) as made:
        yield made


class Client:
    """Alice, who bound two addresses, and looks for others."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.token = world.identity_token(world.register())
        for address in ("alice@example.com", "bob@example.com"):
            sid = world.validated(self.token, address)
            body = {"sid": sid, "client_secret": "secret", "mxid": "@alice:example.org"}
            assert world.post(f"{V2}/3pid/bind", body, token=self.token).status_code == 200
        details = world.get(f"{V2}/hash_details", token=self.token).json()
        assert details["algorithms"] == ["sha256", "none"]
        self.pepper = details["lookup_pepper"]

    def hash(self, address: str) -> str:
        return lookup_hash(address, "email", self.pepper)

    def lookup(
        self, *addresses: str, algorithm: str = "sha256", pepper: str | None = None, **more: Any
    ) -> httpx.Response:
        body = {"algorithm": algorithm, "pepper": self.pepper if pepper is None else pepper, "addresses": addresses}
        return self.world.post(f"{V2}/lookup", body, token=self.token, **more)


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


def test_answers_have_one_shape_whatever_is_found(client: Client) -> None:
    assert client.lookup().json() == {"mappings": {}}
    assert client.lookup("x", client.hash("nobody@example.com"), "").json() == {"mappings": {}}
    known = client.hash("alice@example.com")
    assert client.lookup(known, known, "x").json() == {"mappings": {known: "@alice:example.org"}}
    assert client.lookup(known.swapcase(), known + "=", known[:-1]).json() == {"mappings": {}}


def test_in_the_clear_answers_name_what_was_asked_for(client: Client) -> None:
    """ma1sd answered `email alice@example.com` as soon as it was asked for more than one."""
    asked = ["alice@example.com email", "bob@example.com email", "Alice@Example.com email", "nobody@example.com email"]
    expected = dict.fromkeys(asked[:3], "@alice:example.org")
    assert client.lookup(*asked, algorithm="none").json() == {"mappings": expected}
    for one in (
        "email alice@example.com",
        "alice@example.com",
        "alice@example.com msisdn",
        "",
    ):
        assert client.lookup(one, algorithm="none").json() == {"mappings": {}}


@pytest.mark.parametrize("algorithm", ["sha256", "none"])
@pytest.mark.parametrize("pepper", ["", "wrong", "x" * 512])
def test_a_wrong_pepper_is_answered_with_the_right_one(client: Client, algorithm: str, pepper: str) -> None:
    answer = client.lookup("x", algorithm=algorithm, pepper=pepper)
    assert answer.status_code == 400
    error = answer.json()
    assert error.pop("error")
    assert error == {"errcode": "M_INVALID_PEPPER", "algorithm": algorithm, "lookup_pepper": client.pepper}


def test_what_is_not_offered_is_an_invalid_parameter(client: Client, database_url: str) -> None:
    for algorithm in ("sha512", "SHA256", ""):
        answer = client.lookup("x", algorithm=algorithm)
        assert (answer.status_code, answer.json()["errcode"]) == (400, "M_INVALID_PARAM")
    with client.world.again(identity__lookup_algorithms=["sha256"]) as other:
        body = {"algorithm": "none", "pepper": client.pepper, "addresses": ["alice@example.com email"]}
        answer = other.post(f"{V2}/lookup", body, token=client.token)
        assert (answer.status_code, answer.json()["errcode"]) == (400, "M_INVALID_PARAM")


def test_too_many_addresses_are_too_large(client: Client) -> None:
    """Sydent's limits were `M_UNKNOWN`."""
    assert client.lookup(*map(str, range(300))).status_code == 200
    answer = client.lookup(*map(str, range(301)))
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_TOO_LARGE")
    pairs = [["email", str(number)] for number in range(301)]
    answer = client.world.post(f"{V1}/bulk_lookup", {"threepids": pairs})
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_TOO_LARGE")


def test_a_budget_that_is_used_up_says_when_it_is_there_again(client: Client) -> None:
    known = client.hash("alice@example.com")
    assert client.lookup(known).status_code == 200
    assert client.lookup(*map(str, range(300))).status_code == 200
    answer = client.lookup(*map(str, range(1000, 1300)))
    assert (answer.status_code, answer.json()["errcode"]) == (429, "M_LIMIT_EXCEEDED")
    until_midnight = 86_400_000 - client.world.clock.now() % 86_400_000
    assert answer.json()["retry_after_ms"] == until_midnight
    assert answer.headers["Retry-After"] == str(-(-until_midnight // 1000))
    assert client.lookup(known).json() == {"mappings": {known: "@alice:example.org"}}


def test_an_association_that_has_expired_is_not_answered(client: Client) -> None:
    known = client.hash("alice@example.com")
    client.world.clock.advance(365 * 86_400_000 - 1)
    assert client.lookup(known).json()["mappings"] != {}
    client.world.clock.advance(1)
    assert client.lookup(known).json() == {"mappings": {}}
    assert client.lookup("alice@example.com email", algorithm="none").json() == {"mappings": {}}


def test_the_old_api_finds_and_counts_too(client: Client) -> None:
    world = client.world
    found = world.get(f"{V1}/lookup", params={"medium": "email", "address": "ALICE@example.com"}).json()
    assert (found["mxid"], found["address"]) == ("@alice:example.org", "alice@example.com")
    assert found["signatures"]
    assert world.get(f"{V1}/lookup", params={"medium": "email", "address": "no@example.com"}).json() == {}
    pairs = [["email", "bob@example.com"], ["email", "no@example.com"], ["email", "alice@example.com"]]
    expected = [
        ["email", "bob@example.com", "@alice:example.org"],
        ["email", "alice@example.com", "@alice:example.org"],
    ]
    assert world.post(f"{V1}/bulk_lookup", {"threepids": pairs}).json() == {"threepids": expected}
    answers = []
    for first in range(0, 1_000, 200):
        pairs = [["email", f"{number}@x.org"] for number in range(first, first + 200)]
        headers = {"X-Forwarded-For": "203.0.113.9"}
        answers.append(world.post(f"{V1}/bulk_lookup", {"threepids": pairs}, headers=headers).status_code)
    assert answers == [200, 200, 429, 429, 429]


def test_a_phone_number_is_found_in_the_clear_in_every_spelling(client: Client) -> None:
    from threepid.domain.identity.associations import Associations

    associations = client.world.identity.associations
    assert isinstance(associations, Associations)
    write = client.world.server.context.database.write
    client.world.run(write(lambda tx: associations.bind_address(tx, "msisdn", "447700900123", "@alice:example.org")))
    for spelling in ("447700900123 msisdn", "+44 7700 900123 msisdn"):
        assert client.lookup(spelling, algorithm="none").json()["mappings"] == {spelling: "@alice:example.org"}


# -- as homeservers ask for their people


def as_synapse_looks_up(world: World, token: str, address: str) -> dict[str, Any]:
    """Its two requests: the first with the token in the query and nowhere else."""
    details = world.get(f"{V2}/hash_details", params={"access_token": token})
    assert details.status_code == 200, details.text
    pepper = details.json()["lookup_pepper"]
    body = {"algorithm": "sha256", "pepper": pepper, "addresses": [lookup_hash(address, "email", pepper)]}
    found = world.post(f"{V2}/lookup", body, token=token)
    assert found.status_code == 200, found.text
    return dict(found.json()["mappings"])


@pytest.mark.parametrize("query_token", [None, [], ["r0"], ["identity_v2"]])
def test_synapse_looks_up_whatever_the_setting_for_query_tokens(
    database_url: str, tmp_path: Path, query_token: list[str] | None
) -> None:
    with World(database_url, tmp_path, server__query_token=query_token) as world:
        token = world.identity_token(world.register())
        sid = world.validated(token)
        body = {"sid": sid, "client_secret": "secret", "mxid": "@alice:example.org"}
        assert world.post(f"{V2}/3pid/bind", body, token=token).status_code == 200
        assert list(as_synapse_looks_up(world, token, "alice@example.com").values()) == ["@alice:example.org"]
        assert as_synapse_looks_up(world, token, "nobody@example.com") == {}


def test_a_token_in_the_query_of_hash_details_is_checked_like_one_in_the_header(world: World, client: Client) -> None:
    path = f"{V2}/hash_details"
    ours = world.register("bob")
    for answer in (
        world.get(path),
        world.get(f"{path}?access_token="),
        world.get(f"{path}?access_token=tpi_nosuch"),
        world.get(f"{path}?access_token={ours}"),
        world.get(f"{path}?access_token={client.token}", token="tpi_nosuch"),
    ):
        assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNAUTHORIZED")
    assert world.post(f"{V2}/account/logout", {}, token=client.token).status_code == 200
    assert world.get(f"{path}?access_token={client.token}").status_code == 401


def test_no_other_operation_of_the_identity_server_takes_a_query_token_by_default(world: World, client: Client) -> None:
    body = {"algorithm": "sha256", "pepper": client.pepper, "addresses": []}
    assert world.post(f"{V2}/lookup?access_token={client.token}", body).status_code == 401
    assert world.get(f"{V2}/account?access_token={client.token}").status_code == 401
