"""The constrained types take what the specification allows, whole, and nothing else."""

from typing import Any

import msgspec
import pytest

from threepid.spec import types
from threepid.spec.types import ParsedUserId, parse_user_id, valid_localpart

TAKEN: list[tuple[Any, Any]] = [
    (types.ClientSecret, "a"),
    (types.ClientSecret, "aZ09.=_-"),
    (types.ClientSecret, "s" * 255),
    (types.SessionId, "0"),
    (types.SessionId, "s" * 255),
    (types.Token, "t"),
    (types.Token, "token with a blank"),
    (types.Token, "t" * 1024),
    (types.SendAttempt, 0),
    (types.SendAttempt, 2**53 - 1),
    (types.NextLink, ""),
    (types.NextLink, "x" * 2000),
    (types.IdServer, "id.example.org:8090"),
    (types.ServerName, "[::1]:8448"),
    (types.UserId, "@a:b"),
    (types.UserId, "@Histo(rical):example.org:8448"),
    (types.UserId, "@" + "a" * 242 + ":example.org"),
    (types.DeviceId, "ABCDEFGHIJ"),
    (types.DeviceId, "Alice's téléphone"),
    (types.DeviceId, "d" * 255),
    (types.DisplayName, ""),
    (types.DisplayName, "Элис \N{MOBILE PHONE}"),
    (types.DisplayName, "n" * 256),
    (types.Password, ""),
    (types.Password, "pass word\n"),
]
REFUSED: list[tuple[Any, Any]] = [
    *(
        (type_, text)
        for type_ in (types.ClientSecret, types.SessionId)
        for text in (
            "",
            "a\n",
            "\na",
            "a\nb",
            "a b",
            "a/b",
            "a+b",
            "é",
            "\N{CYRILLIC SMALL LETTER A}",
            "a\0",
            "s" * 256,
            1,
            None,
            ["a"],
        )
    ),
    (types.Token, ""),
    (types.Token, "t" * 1025),
    *((types.SendAttempt, value) for value in (-1, 2**53, 2**64, True, 1.0, "1", None)),
    (types.NextLink, "x" * 2001),
    (types.IdServer, ""),
    (types.IdServer, "x" * 256),
    (types.ServerName, ""),
    *(
        (types.UserId, text)
        for text in ("a:b.c", "@a", "@a:", "@a b:c.d", "@a:b\n", "@a\n:b", "\n@a:b", "@a:b c", "@\0:b.c")
    ),
    (types.UserId, "@" + "a" * 243 + ":example.org"),
    *((types.DeviceId, text) for text in ("", "a\n", "a\0", "a\x7f", "a\x9f", "d" * 256)),
    *((types.DisplayName, text) for text in ("a\n", "a\0", "a\x7f", "a\x85", "n" * 257)),
    (types.Password, "p" * 4097),
]


def name(value: Any) -> str:
    return ascii(value)[-40:]


@pytest.mark.parametrize(("type_", "value"), TAKEN, ids=name)
def test_the_type_takes_the_value_as_it_is(type_: Any, value: Any) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value), type=type_) == value


@pytest.mark.parametrize(("type_", "value"), REFUSED, ids=name)
def test_the_type_refuses_the_value(type_: Any, value: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(value), type=type_)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("@alice:example.org", ParsedUserId("alice", "example.org")),
        ("@alice:example.org:8448", ParsedUserId("alice", "example.org:8448")),
        ("@alice:[2001:db8::1]:8448", ParsedUserId("alice", "[2001:db8::1]:8448")),
        ("@a/b=c+d:1.2.3.4", ParsedUserId("a/b=c+d", "1.2.3.4")),
        ("@Alice(old):example.org", ParsedUserId("Alice(old)", "example.org")),
        ("@:example.org", ParsedUserId("", "example.org")),
    ],
)
def test_a_user_id_has_a_localpart_and_a_server(text: str, parts: ParsedUserId) -> None:
    assert parse_user_id(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "@a",
        "@a:",
        "a:b.c",
        "@@a",
        " @a:b.c",
        "@a:b.c ",
        "@a:b.c\n",
        "@a b:c.d",
        "@a\n:b.c",
        "@a\0:b.c",
        "@é:b.c",
        "@a:é.c",
        "@a:b/c",
        "@a:b.c:",
        "@a:b.c:0",
        "@a:b.c:65536",
        "@a:b@c.d",
        "@a:b..c",
        "@a:[::1",
        "@" + "a" * 243 + ":example.org",
    ],
    ids=name,
)
def test_what_is_no_user_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a user ID"):
        parse_user_id(text)


def test_a_user_id_may_have_255_bytes() -> None:
    longest = "@" + "a" * 242 + ":example.org"
    assert len(longest.encode()) == 255
    assert parse_user_id(longest).server_name == "example.org"


@pytest.mark.parametrize("text", ["a", "0", "a.b_c=d-e/f+g", "_", "..", "a" * 300])
def test_a_new_localpart_has_the_letters_of_the_grammar(text: str) -> None:
    assert valid_localpart(text)


@pytest.mark.parametrize(
    "text", ["", "A", "é", "a b", "a\n", "\na", "a:b", "@a", "a\0", "\N{FULLWIDTH LATIN SMALL LETTER A}", "a!", "a(b)"]
)
def test_a_new_localpart_has_no_other_letters(text: str) -> None:
    assert not valid_localpart(text)
