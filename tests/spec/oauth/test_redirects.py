"""Redirect URIs as text: what may be registered, what a request may name, where the answer goes."""

from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from threepid.spec.oauth.redirects import (
    answer_uri,
    is_registered,
    parse_web_uri,
    policy_source,
    shown_target,
    why_not_registrable,
)

PIECES = st.lists(
    st.sampled_from(
        ["https", "http", "com.example", ":", "/", "//", "@", "\\", "#", "?", "..", "%2e", "app.", "example.com", ":80", "[::1]",
         "127.0.0.1", "localhost", "evil.example", "code=x", "&", ".", " ", "é"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@given(PIECES)
def test_whatever_is_registrable_leads_where_it_seems_to(uri: str) -> None:
    if why_not_registrable(uri, base="example.com", native=True) is not None:
        return
    parts = urlsplit(uri)
    assert uri.isascii()
    assert parts.username is None
    assert not parts.fragment
    if parts.scheme == "https":
        assert parts.hostname == "example.com" or (parts.hostname or "").endswith(".example.com")
    elif parts.scheme == "http":
        assert parts.hostname in ("localhost", "127.0.0.1", "::1")
        assert parts.port is None
    else:
        assert parts.scheme == "com.example" or parts.scheme.startswith("com.example.")
        assert not parts.netloc


@given(PIECES, PIECES)
def test_a_request_names_the_registered_address_or_another_port_of_loopback(uri: str, registered: str) -> None:
    if not is_registered(uri, (registered,)) or uri == registered:
        return
    one, other = urlsplit(uri), urlsplit(registered)
    assert one.hostname == other.hostname
    assert one.hostname in ("localhost", "127.0.0.1", "::1")
    assert (one.scheme, one.path, one.query, one.fragment) == ("http", other.path, other.query, "")


@given(
    st.dictionaries(st.sampled_from(["code", "state", "error"]), st.text(st.characters(codec="utf-8"))), st.booleans()
)
def test_an_answer_says_exactly_what_was_put_in(parameters: dict[str, str], in_fragment: bool) -> None:
    uri = answer_uri("https://app.example.com/cb?x=1", parameters, in_fragment=in_fragment)
    parts = urlsplit(uri)
    told = dict(parse_qsl(parts.fragment if in_fragment else parts.query, keep_blank_values=True))
    assert told == ({} if in_fragment else {"x": "1"}) | parameters
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "app.example.com", "/cb")


def test_a_policy_source_is_one_word_without_separators() -> None:
    for uri, source, shown in (
        ("https://App.example.com:444/cb;x,y", "https://app.example.com:444", "app.example.com:444"),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1:1", "127.0.0.1:1"),
        ("http://[::1]:1/cb", "http:", "[::1]:1"),
        ("com.example.app:/cb;x", "com.example.app:", "com.example.app"),
    ):
        assert (policy_source(uri), shown_target(uri)) == (source, shown)


def test_hosts_that_are_read_differently_by_different_programs_are_none() -> None:
    for host in (
        "0x7f.0.0.1",
        "127.1",
        "2130706433",
        "example.com.",
        "a..b",
        "-a.example",
        "[::1",
        "[v1.x]",
        "a_b.example",
    ):
        assert parse_web_uri(f"https://{host}/") is None, host
    assert parse_web_uri("https://xn--bcher-kva.example/") is not None
