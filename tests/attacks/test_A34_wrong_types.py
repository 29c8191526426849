"""A34: eighteen wrong values in every field of every operation: a 4xx with an errcode, and nothing has happened."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_cases import CASES, EVERYTHING_ON, People
from threepid.api.endpoints import ALL, IDENTITY, OAUTH
from world import World

VALID_AND_EVIL = ["new@example.com", "evil@evil.example"]
WRONG: list[Any] = [
    None, True, False, 0, 1.5, -1, 2**53 + 1, "", "x" * 100_000, [], VALID_AND_EVIL, [[]], {}, {"$ne": 1},
    {"a": {"b": {"c": 1}}}, "\u0000", "\ud800", 10**400,
]  # fmt: skip
assert len(WRONG) == 18
WITH_BODY = [endpoint for endpoint in ALL if endpoint.body_type not in (None, bytes) and endpoint not in OAUTH]
"""Those of the OAuth 2.0 API have forms and errors of their own: `test_A90_oauth_parameters.py`."""
NULL_MEANS_NOTHING = {"room_alias", "room_avatar_url", "room_join_rules", "room_name", "room_type", "sender_display_name", "sender_avatar_url"}  # fmt: skip
"""Homeservers pass on what stands in the room of an invitation, and that may be null."""


def places(body: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in body.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from places(value, (*path, name))


def test_every_operation_with_a_body_is_covered() -> None:
    assert {endpoint.name for endpoint in WITH_BODY} == set(CASES)


def test_every_field_of_every_operation_is_covered() -> None:
    import msgspec

    for endpoint in WITH_BODY:
        fields = {field.encode_name for field in msgspec.structs.fields(endpoint.body_type)}
        assert fields == set(CASES[endpoint.name][2]), endpoint


@pytest.fixture
def people(database_url: str, tmp_path: Path) -> Iterator[People]:
    with World(database_url, tmp_path, **EVERYTHING_ON) as world:
        yield People(world)


@pytest.mark.parametrize("name", CASES)
def test_wrong_values_are_refused(people: People, name: str) -> None:
    body = CASES[name][2]
    before = people.state()
    for place in places(body):
        for wrong in WRONG:
            spoilt = copy.deepcopy(body)
            target = spoilt
            for step in place[:-1]:
                target = target[step]
            right = target[place[-1]]
            target[place[-1]] = wrong
            answer = people.send(name, dumps(spoilt))
            where = f"{name} {'.'.join(place)} = {wrong!r:.40}: {answer.status_code} {answer.text}"
            assert answer.status_code < 500, where
            if wrong is None and place[0] in NULL_MEANS_NOTHING and name.startswith("store_invite"):
                continue
            if type(wrong) is not type(right) and not (isinstance(wrong, int) and isinstance(right, int)):
                assert 400 <= answer.status_code < 500, where
            if answer.status_code >= 400 and not (answer.status_code == 401 and "flows" in answer.json()):
                assert answer.json()["errcode"].startswith("M_"), where
                assert answer.json()["error"], where
    if (
        name not in {"register", "request_openid_token", "register_account", "store_invite", "store_invite_v1"}
        and "token" not in name
    ):
        assert people.state() == before
    assert not any("evil.example" in mail.recipient for mail in people.world.mails())


def dumps(body: Any) -> str:
    import json

    return json.dumps(body)


@pytest.mark.parametrize("name", CASES)
def test_missing_fields_are_named(people: People, name: str) -> None:
    import msgspec

    body = CASES[name][2]
    endpoint = next(endpoint for endpoint in ALL if endpoint.name == name)
    for field in msgspec.structs.fields(endpoint.body_type):
        if field.required:
            without = {key: value for key, value in body.items() if key != field.encode_name}
            answer = people.send(name, without)
            errcode = "M_MISSING_PARAMS" if endpoint in IDENTITY else "M_MISSING_PARAM"
            assert (answer.status_code, answer.json()["errcode"]) == (400, errcode), field
            assert field.encode_name in answer.json()["error"]


def test_parameters_of_a_query_cannot_come_twice(people: People) -> None:
    answer = people.world.get("/_matrix/client/v3/register/available?username=a&username=b")
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_INVALID_PARAM")
