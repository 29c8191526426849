"""What gets into the log: no secrets, no whole addresses, and everything that operators need."""

from typing import Any

import pytest

from threepid.telemetry import mask_secrets, mask_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("alice@example.com", "a***@example.com"),
        ("<alice.b+c@example.com>: no such mailbox", "<a***@example.com>: no such mailbox"),
        ("alice@bücher.example", "a***@bücher.example"),
        ("jürgen@example.com", "j***@example.com"),
        ("o'neill@example.com", "o***@example.com"),
        ("_x@[192.0.2.1]", "_***@[192.0.2.1]"),
        ("a@b and c@d", "a***@b and c***@d"),
        ("smtp://user:secret@relay.example", "smtp://user:s***@relay.example"),
        ("@alice:example.org", "@alice:example.org"),
        ("nothing to hide", "nothing to hide"),
        ("tp_0123456789abcdefghij", "***"),
        ("tpi_0123456789abcdefghij", "***"),
        ("tpl_0123456789abcdefghij", "***"),
        ("tpr_0123456789abcdefghij", "***"),
        ("GET /x?access_token=abc&a=1", "GET /x?***&a=1"),
        ("client_secret=abc token=def", "*** ***"),
    ],
)
def test_texts_show_neither_tokens_nor_whole_addresses(text: str, shown: str) -> None:
    assert mask_text(text) == shown


@pytest.mark.parametrize(
    "name", ["password", "new_password", "client_secret", "token", "code", "Authorization", "params"]
)
def test_what_is_secret_by_its_name_is_hidden(name: str) -> None:
    assert mask_secrets(None, "info", {"event": "e", name: "x"}) == {"event": "e", name: "***"}


def test_what_operators_need_is_shown() -> None:
    event: dict[str, Any] = {"event": "request_failed", "errcode": "M_UNKNOWN", "endpoint": "login", "status": 503}
    assert mask_secrets(None, "warning", dict(event)) == event
