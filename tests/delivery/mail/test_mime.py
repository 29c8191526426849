"""The bytes of a mail say what the standard library reads in them."""

import email
import email.policy
from email.headerregistry import Address
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threepid.delivery.mail.mime import alternatives, header, recipient, sender

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=300)
WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)


def read(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


@given(TEXTS, TEXTS)
def test_both_parts_are_read_as_they_were_written(text: str, html: str) -> None:
    content = alternatives([header("Subject", "x")], text, html, boundary="=_b")
    assert content.isascii()
    assert content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r")
    assert max(map(len, content.split(b"\r\n"))) <= 76
    parts = list(read(content).iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    for part, wanted in zip(parts, (text, html), strict=True):
        assert not part.defects
        body = part.get_payload(decode=True)
        assert isinstance(body, bytes)
        # A part ends with a line end, whether or not its text does.
        assert body.decode().replace("\r\n", "\n").removesuffix("\n") == wanted.removesuffix("\n")


@pytest.mark.parametrize(
    "text",
    ["w" * 200 + " ", "b " + "w" * 74 + " ", "\n".join(["w" * 100 + "\t"] + ["w" * n + " " for n in range(70, 80)])],
)
def test_a_space_at_the_end_of_a_line_makes_no_line_too_long(text: str) -> None:
    """https://www.rfc-editor.org/rfc/rfc2045#section-6.7: the standard library's encoder counts it as one character."""
    content = alternatives([], text, text, boundary="=_b")
    assert max(map(len, content.split(b"\r\n"))) <= 76
    for part in read(content).iter_parts():
        assert part.get_content().replace("\r\n", "\n").removesuffix("\n") == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hello\n.\nFrom here\n", "7bit"),
        ("x" * 77, "quoted-printable"),
        ("Grüße an alle, die dies lesen", "quoted-printable"),
        ("確認コードを入力してください", "base64"),
        ("", "7bit"),
        ("A text with a\0b", "quoted-printable"),
    ],
)
def test_a_part_has_the_shorter_encoding(text: str, encoding: str) -> None:
    first, _ = read(alternatives([], text, "x", boundary="=_b")).iter_parts()
    assert first["Content-Transfer-Encoding"] == encoding


@given(st.lists(WORDS, min_size=1, max_size=8).map(" ".join).filter(lambda text: "=?" not in text))
def test_a_subject_is_read_as_it_was_written(subject: str) -> None:
    line = header("Subject", subject)
    assert line.isascii()
    assert line.endswith("\r\n")
    assert read(alternatives([line], "", "", boundary="=_b"))["Subject"] == subject


@pytest.mark.parametrize("subject", ["w" * 3000, "word " * 400 + "end", "ß" * 3000, "a  b", "a " + "w" * 80])
def test_a_long_subject_is_folded_and_read_as_it_was_written(subject: str) -> None:
    line = header("Subject", subject)
    assert max(map(len, line.split("\r\n"))) <= 76
    assert read(alternatives([line], "", "", boundary="=_b"))["Subject"] == subject


@pytest.mark.parametrize("evil", ["a\r\nBcc: eve@evil.example", "a\nBcc: x", "a\rb"])
def test_a_line_end_makes_no_second_header(evil: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        header("Subject", evil)


def test_what_is_simple_is_written_as_the_library_would_write_it() -> None:
    for name, value in (
        ("To", "b.!#$%&'*+-/=^_`{|}~c@example.com"),
        ("To", f"{'b' * 64}@{'e' * 60}.example.com"),
        ("Message-ID", f"<{'x' * 90}@example.com>"),
        ("Subject", "Is this your email address?"),
    ):
        policy = email.policy.SMTP.clone(max_line_length=76)
        assert header(name, value) == policy.fold(*policy.header_store_parse(name, value))
    assert sender(Address("Ex, ample", addr_spec="x@example.org")) == 'From: "Ex, ample" <x@example.org>\r\n'


def test_an_address_is_written_as_it_is_even_if_it_looks_like_an_encoded_word() -> None:
    for address in ("a@b.example", "!#$%&'*+-/=?^_`{|}~@b.example", "=?utf-8?q?x?=@b.example"):
        assert recipient(address) == f"To: {address}\r\n"


@pytest.mark.parametrize("address", ["a@b.example\r\nBcc: c@d.example", "a b@c.example", "é@b.example", "x" * 500, ""])
def test_what_is_no_address_makes_no_header(address: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a header"):
        recipient(address)
