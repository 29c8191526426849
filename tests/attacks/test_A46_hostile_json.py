"""A46: what the JSON grammar and parsers let through and we do not, at every operation."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_cases import CASES, EVERYTHING_ON, People
from threepid.spec.errors import BadJson, NotJson
from threepid.spec.strict_json import MAX_DEPTH, parse_object
from world import World

NOT_JSON = [
    b"{", b"}", b"[", b'{"a":}', b"{'a':1}", b'{"a":1,}', b"nul", b'{"a" 1}', b'{"a":1}x', b'"', b'{"a":"\n"}', b'{"a":01}',
    b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":.5}', b'{"a":1.}', b'{"a":+1}', b'{"a":0x1}',
    b'{"a":"\\x"}', b'{"a":"\\u12"}', b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", "{}".encode("utf-16"), "{}".encode("utf-32"),
    b'{"a":"\xff"}', b'{"a":"\xc0\x80"}', b'{"a":"\xed\xa0\x80"}', b"\x00", b"{}\x00", b'{"a":"\x00"}', b"/* c */{}", b"{}//",
    b"undefined", b"<a/>", b"a=b&c=d", b"{" * 10, b"]" * 10, b'{"a"', b'{"a":tru}', b"{1:2}", b'{"a":1 "b":2}', b"\x1f\x8b\x08",
]  # fmt: skip
BAD_JSON = [
    b"[]", b"1", b'"x"', b"null", b"true", b"1.5", b'[{"a":1}]', b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}', b'{"a":1e400}',
    b'{"a":-1e999}', b'{"a":9007199254740993}', b'{"a":-9007199254740993}', b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":"\\ud800"}', b'{"a":"\\udc00\\ud800"}', b'{"\\ud800":1}', b'{"a":"\\u0000"}', b'{"a\\u0000":1}',
    b'{"a":' * 33 + b"1" + b"}" * 33, b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("body", NOT_JSON, ids=repr)
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(NotJson):
        parse_object(body)


@pytest.mark.parametrize("body", BAD_JSON, ids=lambda body: repr(body)[:40])
def test_what_is_json_but_not_ours_is_bad(body: bytes) -> None:
    with pytest.raises(BadJson):
        parse_object(body)


@pytest.mark.parametrize("depth", [1, MAX_DEPTH])
def test_json_up_to_the_depth_is_taken(depth: int) -> None:
    parse_object(b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1))


def test_brackets_inside_strings_are_no_depth() -> None:
    assert parse_object(b'{"a":"' + b"[{" * 100 + b'\\""}')["a"].startswith("[{")


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert parse_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.fixture
def people(database_url: str, tmp_path: Path) -> Iterator[People]:
    with World(database_url, tmp_path, **EVERYTHING_ON) as world:
        yield People(world)


@pytest.mark.parametrize("name", CASES)
def test_every_operation_refuses_the_whole_corpus(people: People, name: str) -> None:
    path = CASES[name][0]
    v1 = path.startswith("/_matrix/identity/api/v1") and name != "bulk_lookup_v1"
    for errcode, corpus in (("M_NOT_JSON", NOT_JSON), ("M_BAD_JSON", BAD_JSON)):
        for body in corpus:
            answer = people.send(name, body)
            assert answer.status_code == 400, (body[:40], answer.text)
            if not (v1 and body == b"null"):  # old clients send null and put everything into the query
                assert answer.json()["errcode"] == errcode, (body[:40], answer.text)


def test_mutated_json_never_fails_the_server(people: People) -> None:
    chance = random.Random(46)
    for name, (_, _, body) in CASES.items():
        import json

        text = json.dumps(body).encode()
        for _ in range(60):
            spoilt = bytearray(text)
            for _ in range(chance.randint(1, 4)):
                spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
            answer = people.send(name, bytes(spoilt))
            assert answer.status_code < 500, (name, bytes(spoilt))
            assert isinstance(answer.json(), dict)
