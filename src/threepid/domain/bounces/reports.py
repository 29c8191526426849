"""Reports about mails: what a mail program says of a mail that it could not deliver, or that its recipient calls spam.

https://www.rfc-editor.org/rfc/rfc3464, https://www.rfc-editor.org/rfc/rfc5965
Anybody can send a report, so reading one never raises, and takes time that grows with its length only.
"""

import email
import re
from collections.abc import Iterable
from email.message import Message
from email.policy import EmailPolicy
from typing import Any, Final

from msgspec import Struct

from threepid.domain.suppressions import Kind

MOST_BYTES: Final = 262_144
"""Maximum length of a report: our mails are short, and a report has at most one of them in it."""
_MOST_LINES: Final = 20_000
_MOST_BOUNDARIES: Final = 32
"""A line is compared with the boundary of each part around it, so deeply nested parts would take long."""
_MOST_PARTS: Final = 10
_MOST_RECIPIENTS: Final = 50
_MOST_HEADERS: Final = 50
_HEADER_LENGTH: Final = 1_000

_SENT_TO: Final = ("To", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To")
"""Header fields in which mail programs put the address to which a report was sent."""
_STATUS: Final = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?![.\d])", re.ASCII)
_HARD: Final = frozenset({"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10", "5.2.1"})
"""Status codes that say that the address itself is wrong, or its mailbox is closed.

Not about the address are a full mailbox (5.2.2), the sender's address (5.1.7, 5.1.8) and rejections by rule (5.7).
https://www.rfc-editor.org/rfc/rfc3463#section-3.2, https://www.rfc-editor.org/rfc/rfc7505#section-4.2
"""
_COMPLAINTS: Final = frozenset({"abuse", "fraud", "opt-out"})
"""Feedback types of people who do not want the mail. Others report the opposite, or a missing signature.

https://www.iana.org/assignments/marf-parameters/marf-parameters.xhtml
"""


class Report(Struct, frozen=True):
    """A report about a mail."""

    kind: Kind
    status: str
    """The status code, or the feedback type; '' for none that is known."""
    counts: bool
    """Does it say that the address gets no mails, or wants none?"""
    addresses: tuple[str, ...]
    """The texts in which the mail's envelope sender may be."""

    def __repr__(self) -> str:
        """Leave out the addresses, because they must not get into a log."""
        return f"Report({self.kind!r}, {self.status!r}, counts={self.counts})"


def parse(raw: bytes) -> Report | None:
    """The report in a mail; None if it is no report. Only the first MOST_BYTES are read."""
    raw = raw[:MOST_BYTES]
    if raw.count(b"\n") + raw.count(b"\r") > 2 * _MOST_LINES or raw.lower().count(b"boundary") > _MOST_BOUNDARIES:
        return None
    try:
        return _parse(raw)
    except Exception:  # noqa: BLE001 - a stranger wrote it, and the library has bugs that broken mails show
        return None


class _Unparsed(EmailPolicy):
    """The library's policy without its parser of header fields, which is slow and fails for hostile ones."""

    def header_fetch_parse(self, name: str, value: Any) -> str:  # noqa: ARG002 - the library's interface
        return "".join(str(value).splitlines())[:_HEADER_LENGTH]


_POLICY: Final = _Unparsed()


def _parse(raw: bytes) -> Report | None:
    message = email.message_from_bytes(raw, policy=_POLICY)
    if message.get_content_type() != "multipart/report":
        return None
    parts = _parts(message)[:_MOST_PARTS]
    sent_to = _values(message, _SENT_TO)
    report_type = str(message.get_param("report-type", "")).lower()
    if report_type == "delivery-status":
        return _bounce(parts, sent_to)
    if report_type == "feedback-report":
        return _complaint(parts, sent_to)
    return None


def _bounce(parts: list[Message], sent_to: list[str]) -> Report | None:
    """A delivery status notification. It counts only if the mail reached nobody and all reasons are about the address."""
    part = _of_type(parts, "message/delivery-status")
    if part is None:
        return None
    groups = _parts(part)
    about = [_outcome(group) for group in groups if "Action" in group]
    codes = [status for action, status in about if action == "failed" and status in _HARD]
    counts = 0 < len(about) == len(codes) <= _MOST_RECIPIENTS
    return Report(Kind.BOUNCE, codes[0] if codes else _first(status for _, status in about), counts, tuple(sent_to))


def _outcome(group: Message) -> tuple[str, str]:
    """Action and status code for one recipient; '' for one that is missing, repeated or malformed."""
    actions, codes = _values(group, ("Action",)), _values(group, ("Status",))
    if len(actions) != 1 or len(codes) != 1:
        return "", ""
    match = _STATUS.match(codes[0])
    return actions[0].strip().lower(), match[1] if match else ""


def _complaint(parts: list[Message], sent_to: list[str]) -> Report | None:
    """A complaint. It goes to an address of the operator, so the mail's envelope sender is in the mail that it returns."""
    part = _of_type(parts, "message/feedback-report")
    fields = _first_part(part)
    if fields is None:
        return None
    type_ = _first(_values(fields, ("Feedback-Type",))).strip().lower()
    counts = type_ in _COMPLAINTS
    original = _first_part(_of_type(parts, "message/rfc822"))
    returned = [] if original is None else _values(original, ("Return-Path",))
    addresses = (*sent_to, *_values(fields, ("Original-Mail-From",)), *returned)
    return Report(Kind.COMPLAINT, type_ if counts else "", counts, addresses)


def _of_type(parts: Iterable[Message], type_: str) -> Message | None:
    return next((part for part in parts if part.get_content_type() == type_), None)


def _parts(message: Message) -> list[Message]:
    payload = message.get_payload()
    return [part for part in payload if isinstance(part, Message)] if isinstance(payload, list) else []


def _first_part(part: Message | None) -> Message | None:
    return next(iter(_parts(part)), None) if part is not None else None


def _values(message: Message, names: Iterable[str]) -> list[str]:
    return [str(value) for name in names for value in message.get_all(name, [])[:_MOST_HEADERS]]


def _first(texts: Iterable[str]) -> str:
    return next(iter(texts), "")
