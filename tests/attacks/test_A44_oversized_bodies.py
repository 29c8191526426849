"""A44: a body beyond the limit is refused while it arrives, for any content type."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from api_cases import CASES, EVERYTHING_ON, People
from threepid.api.endpoints import ALL
from world import World


@pytest.fixture
def people(database_url: str, tmp_path: Path) -> Iterator[People]:
    with World(database_url, tmp_path, **EVERYTHING_ON) as world:
        yield People(world)


@pytest.mark.parametrize("name", CASES)
def test_a_body_beyond_the_limit_is_too_large(people: People, name: str) -> None:
    limit = next(endpoint for endpoint in ALL if endpoint.name == name).max_body
    for content_type in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
        answer = people.send(name, b" " * (limit + 1), headers={"Content-Type": content_type})
        assert (answer.status_code, answer.json()["errcode"]) == (413, "M_TOO_LARGE")


def test_an_endless_body_without_a_length_is_stopped_early(people: People) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 10_000
            yield b"x" * 10_000

    path, _, _ = CASES["post_login"]
    answer = people.world.run(people.world.http.post(path, content=endless()))
    assert answer.status_code == 413
    assert read <= 100_000


def test_many_form_fields_are_refused(people: People) -> None:
    path, _, _ = CASES["submit_email_token_v1"]
    body = "&".join(f"f{number}=1" for number in range(5_000))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = people.world.post(path, body, headers=headers)
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_INVALID_PARAM")
