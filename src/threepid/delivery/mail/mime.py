"""The bytes of mails: headers, and a text and an HTML part.

https://www.rfc-editor.org/rfc/rfc5322, https://www.rfc-editor.org/rfc/rfc2045. `EmailMessage` writes the same mail, and takes
longer than all the rest of sending it: `docs/decisions/0082-mails-in-bytes.md`.
"""

import binascii
import re
from collections.abc import Iterable
from email.header import Header
from email.headerregistry import Address
from email.policy import SMTP
from functools import lru_cache
from typing import Final

_LENGTH: Final = 76
"""Maximum length of a line, without its end."""
_POLICY: Final = SMTP.clone(max_line_length=_LENGTH, cte_type="7bit")
_SIMPLE: Final = re.compile(r"[!-~]+(?: [!-~]+)*")
"""Text that a header can hold as it is, if it is short enough and has no encoded word."""
_ADDRESS: Final = 400
"""Maximum length of a word that is not folded: an address in angle brackets has at most 256 characters. A line may have 998."""
_ENCODED_WORD: Final = "=?"


def header(name: str, value: str) -> str:
    """A header of text or of one word, such as an address: one line or more, in ASCII, each with its end.

    Raises ValueError for a `value` with a line end.
    """
    is_simple = _SIMPLE.fullmatch(value) is not None and _ENCODED_WORD not in value
    is_word = " " not in value and len(value) <= _ADDRESS
    if is_simple and (is_word or len(name) + len(": ") + len(value) <= _LENGTH):
        return f"{name}: {value}\r\n"
    is_foldable = is_simple and max(map(len, value.split())) < _LENGTH
    return _folded(name, value, "us-ascii" if is_foldable else "utf-8")


@lru_cache(maxsize=256)  # many mails have the same subject
def _folded(name: str, value: str, charset: str) -> str:
    if "\r" in value or "\n" in value:
        raise ValueError("a header cannot have a line end")
    # Not by the policy: where it folds a long text with encoded words, it may lose a space.
    folded = Header(value, charset, maxlinelen=_LENGTH, header_name=name).encode(linesep="\r\n")
    return f"{name}: {folded}\r\n"


def recipient(address: str) -> str:
    """The To header: the address as it is, because an address has no encoded words (RFC 2047, section 5).

    Raises ValueError for an address that cannot stand in a header.
    """
    if _SIMPLE.fullmatch(address) is None or " " in address or len(address) > _ADDRESS:
        raise ValueError("this address cannot stand in a header")
    return f"To: {address}\r\n"


def sender(address: Address) -> str:
    """The From header, whose name is quoted or encoded if that is needed. Raises ValueError or MessageError."""
    folded: str = _POLICY.fold(*_POLICY.header_store_parse("From", address))
    return folded


def alternatives(headers: Iterable[str], text: str, html: str, *, boundary: str) -> bytes:
    """A mail with these `headers` and two forms of its contents. `boundary` must stand in neither."""
    parts = (
        b"".join(map(str.encode, headers)),
        b"MIME-Version: 1.0\r\n",
        f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n\r\n'.encode("ascii"),
        f"--{boundary}\r\n".encode("ascii"),
        _part("plain", text),
        f"--{boundary}\r\n".encode("ascii"),
        _part("html", html),
        f"--{boundary}--\r\n".encode("ascii"),
    )
    return b"".join(parts)


def _part(subtype: str, content: str) -> bytes:
    lines = content.encode("utf-8").splitlines()
    data = b"\r\n".join(lines) + b"\r\n"
    encoding = "7bit"
    if not data.isascii() or b"\0" in data or max(map(len, lines), default=0) > _LENGTH:
        encoding, data = _encoded(data)
    return (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'.encode(
            "ascii"
        )
        + data
    )


def _encoded(data: bytes) -> tuple[str, bytes]:
    """The shorter encoding. Quoted-printable is smaller and can be read in ASCII; base64 is smaller for most other scripts."""
    printable = binascii.b2a_qp(data, istext=True)
    # The encoder makes a line too long by up to two characters, where a space stands at the end of a full one.
    is_folded = max(map(len, printable.splitlines()), default=0) <= _LENGTH
    if is_folded and len(printable) <= len(data) * 4 // 3:
        return "quoted-printable", printable
    bytes_per_line = _LENGTH * 3 // 4
    lines = (
        binascii.b2a_base64(data[at : at + bytes_per_line], newline=False) for at in range(0, len(data), bytes_per_line)
    )
    return "base64", b"\r\n".join(lines) + b"\r\n"
