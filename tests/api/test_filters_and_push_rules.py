"""What clients ask for before they sync: answered, though there is nothing to filter and nothing to push."""

import pytest

from world import World

C = "/_matrix/client/v3"


def test_there_are_no_push_rules(world: World) -> None:
    rules = world.get(f"{C}/pushrules/", token=world.register()).json()["global"]
    assert set(rules) == {"override", "content", "room", "sender", "underride"}
    assert not any(rules.values())
    assert world.get(f"{C}/pushrules/").json()["errcode"] == "M_MISSING_TOKEN"


@pytest.mark.parametrize("body", [{}, {"room": {"timeline": {"limit": 8}}, "event_fields": ["type"]}])
def test_a_filter_gets_a_name_by_which_it_is_found(world: World, body: dict[str, object]) -> None:
    token = world.register()
    made = world.post(f"{C}/user/@alice:example.org/filter", body, token=token).json()["filter_id"]
    assert world.get(f"{C}/user/@alice:example.org/filter/{made}", token=token).json() == {}
    assert world.get(f"{C}/user/@alice:example.org/filter/other", token=token).status_code == 404
    assert world.get(f"{C}/sync?filter={made}", token=token).status_code == 200


def test_filters_of_others_are_refused(world: World) -> None:
    token = world.register()
    for method, path in (("POST", "filter"), ("GET", "filter/0")):
        answer = world.call(method, f"{C}/user/@bob:example.org/{path}", {} if method == "POST" else None, token=token)
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")


def test_an_authentication_of_null_is_none(world: World) -> None:
    answer = world.post(f"{C}/register", {"username": "alice", "auth": None})
    assert answer.status_code == 401
    assert answer.json()["flows"]
