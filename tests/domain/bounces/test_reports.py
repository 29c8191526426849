"""Reading reports: which count, and that no text breaks the reader."""

import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounce_reports import ADDRESS, block, complaint, notification
from threepid.domain.bounces import reports
from threepid.domain.bounces.reports import MOST_BYTES, Report
from threepid.domain.suppressions import Kind

SIGNED = f"bounces+{'a' * 29}.{'b' * 16}@example.org"


def read(raw: bytes) -> Report:
    report = reports.parse(raw)
    assert report is not None
    return report


def test_a_hard_bounce_counts() -> None:
    report = read(notification(SIGNED))
    assert (report.kind, report.status, report.counts) == (Kind.BOUNCE, "5.1.1", True)
    assert report.addresses == (SIGNED,)


@pytest.mark.parametrize(
    "status", ["5.1.0", "5.1.1 (bad destination mailbox)", "5.1.2", "5.1.3", "5.1.10", "5.2.1", "\t5.1.6"]
)
def test_statuses_of_addresses_and_closed_mailboxes_count(status: str) -> None:
    assert read(notification(SIGNED, block(status))).counts


@pytest.mark.parametrize(
    "status",
    ["4.1.1", "4.4.1", "5.0.0", "5.1.7", "5.1.8", "5.2.2", "5.2.3", "5.3.4", "5.4.6", "5.7.1", "5.7.26", "2.1.1", "5.1.11",
     "5.1", "5.1.1.1", "15.1.1", "", "x", "٥.١.١", "5.1.1111", "511"],
)  # fmt: skip
def test_other_statuses_do_not(status: str) -> None:
    assert not read(notification(SIGNED, block(status))).counts


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded", "", "failed failed"])
def test_a_mail_that_may_yet_arrive_has_not_come_back(action: str) -> None:
    assert not read(notification(SIGNED, block(action=action))).counts


def test_it_counts_only_if_every_recipient_is_wrong() -> None:
    assert read(notification(SIGNED, block("5.1.1"), block("5.2.1", recipient="carol@example.net"))).counts
    for other in (block("4.2.2"), block("2.0.0", "delivered"), block("5.7.1"), "Action: failed\n"):
        assert not read(notification(SIGNED, block(), other)).counts
        assert not read(notification(SIGNED, other, block())).counts
    assert not read(notification(SIGNED, *[block()] * 51)).counts
    assert not read(notification(SIGNED, "Final-Recipient: rfc822; bob@example.com\n")).counts


def test_a_field_that_is_said_twice_says_nothing() -> None:
    assert not read(notification(SIGNED, block() + "Action: delayed\n")).counts
    assert not read(notification(SIGNED, block() + "Status: 4.0.0\n")).counts


def test_fields_and_types_have_any_case() -> None:
    raw = (
        notification(SIGNED)
        .replace(b"Action: failed", b"ACTION: Failed")
        .replace(b"multipart/report", b"Multipart/REPORT")
    )
    assert read(raw.replace(b"=delivery-status", b'="Delivery-Status"')).counts


@pytest.mark.parametrize("header", ["To", "Delivered-To", "X-Original-To", "Envelope-To", "delivered-TO"])
def test_the_address_is_that_of_the_recipient(header: str) -> None:
    assert read(notification(SIGNED, header=header)).addresses == (SIGNED,)


def test_what_the_text_or_the_original_says_is_no_address() -> None:
    original = f"To: {SIGNED}\nReturn-Path: <{SIGNED}>\n\n{SIGNED}\n"
    raw = notification(ADDRESS, block() + f"Original-Recipient: rfc822; {SIGNED}\n", original=original)
    assert read(raw).addresses == (ADDRESS,)
    assert SIGNED.encode() in raw


def test_a_report_inside_another_mail_is_none_of_ours() -> None:
    inner = notification(SIGNED)
    for type_ in ("message/rfc822", "multipart/mixed; boundary=x"):
        start = b"--x\r\nContent-Type: message/rfc822\r\n\r\n" if type_.startswith("multipart") else b""
        assert reports.parse(b"To: x\r\nContent-Type: " + type_.encode() + b"\r\n\r\n" + start + inner) is None
    outer = read(
        notification(ADDRESS, block("4.0.0"), original=inner.decode().replace("\r\n", "\n").replace("mx/1", "mx/2"))
    )
    assert (outer.counts, outer.addresses) == (False, (ADDRESS,))


@pytest.mark.parametrize(
    "raw",
    [b"", b"\n", b"\0", b"hello", b"Subject: out of office\n\nI am away.\n", b"Content-Type: multipart/report\n\n",
     b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n\n--x--\n",
     notification(SIGNED, type_="multipart/mixed"), notification(SIGNED, type_="multipart/report; report-type=disposition-notification"),
     notification(SIGNED).replace(b"message/delivery-status", b"text/plain")],
)  # fmt: skip
def test_other_mails_are_no_reports(raw: bytes) -> None:
    assert reports.parse(raw) is None


@pytest.mark.parametrize("type_", ["abuse", "Fraud", "opt-out "])
def test_complaints_count_wherever_they_name_the_mail(type_: str) -> None:
    for raw in (
        complaint(SIGNED, type_=type_),
        complaint(type_=type_, return_path=SIGNED),
        complaint(type_=type_, to=SIGNED),
    ):
        report = read(raw)
        assert (report.kind, report.status, report.counts) == (Kind.COMPLAINT, type_.strip().lower(), True)
        assert any(SIGNED in address for address in report.addresses)


@pytest.mark.parametrize("type_", ["not-spam", "auth-failure", "virus", "other", "dmarc", "", "abuse, not-spam"])
def test_other_feedback_does_not_count(type_: str) -> None:
    report = read(complaint(SIGNED, type_=type_))
    assert (report.counts, report.status) == (False, "")


def test_a_report_without_line_ends_of_mails_is_read() -> None:
    assert read(notification(SIGNED).replace(b"\r\n", b"\n")).counts


def test_a_long_report_is_read_from_its_beginning() -> None:
    long = notification(SIGNED, original="Subject: x\n\n" + ("y" * 70 + "\n") * 10_000)
    assert len(long) > 2 * MOST_BYTES
    assert read(long).counts


def test_other_scripts_and_raw_bytes_do_no_harm() -> None:
    raw = notification(SIGNED).replace(b"I'm sorry", "Désolé 抱歉".encode()).replace(b"MAILER-DAEMON", b"\xff\xfe\x80")
    assert read(raw).counts
    raw = notification(f"\xe9 =?utf-8?q?=C3=A9?= <{SIGNED}>").replace(b"Status: 5", b"Status:\xc2\xa05")
    assert SIGNED in read(raw).addresses[0]


@given(st.integers(0, 2000))
def test_a_truncated_report_does_no_harm(length: int) -> None:
    report = reports.parse(notification(SIGNED)[:length])
    assert report is None or report.kind is Kind.BOUNCE


@given(st.binary(max_size=3000))
def test_nothing_raises(raw: bytes) -> None:
    reports.parse(raw)


@given(st.lists(st.tuples(st.integers(0, 1200), st.binary(max_size=12)), max_size=8))
def test_no_damage_raises(damages: list[tuple[int, bytes]]) -> None:
    raw = notification(SIGNED)
    for place, damage in damages:
        raw = raw[:place] + damage + raw[place + len(damage) :]
    reports.parse(raw)


HOSTILE = {
    "nested messages": b"Content-Type: message/rfc822\n\n" * 9_000,
    "nested parts": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(4_000)),
    "empty lines": notification(SIGNED)[:700] + b"\n" * 250_000,
    "empty lines in parts": b"".join(b"Content-Type: multipart/x; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(15)) + b"\n" * 39_000,
    "semicolons": b"Content-Type: multipart/report" + b";" * 200_000 + b"\n\n",
    "quotes": b'Content-Type: multipart/report; a="' + b'\\";' * 80_000 + b"\n\n",
    "continuations": b"Content-Type: multipart/report;" + b"\n x*0*=y;" * 19_000 + b"\n\n",
    "numbered parameters": b"Content-Type: multipart/report; x*" + b"9" * 100_000 + b"=y\n\n",
    "comments": b"To: " + b"(" * 200_000 + b"\n" + notification(SIGNED),
    "encoded words": b"To: " + b"=?utf-8?b?" * 20_000 + b"\n" + notification(SIGNED),
    "header fields": b"To: x\n" * 19_000 + notification(SIGNED),
    "groups": notification(SIGNED, *["Action: failed\n"] * 9_000),
    "boundary of regular expressions": notification(SIGNED).replace(b"mx/1", b"(a+)+$" * 30),
    "one line": b"a" * MOST_BYTES,
    "no type": b"Content-Type: \n\n",
    "bad charset": notification(SIGNED).replace(b"us-ascii", b"\xff-nothing"),
    "bad encoding": notification(SIGNED).replace(b"Content-Description: Delivery report", b"Content-Transfer-Encoding: base64"),
    "carriage returns": b"\r" * MOST_BYTES,
    "form feeds": b"To:\x0b x\x0c\x1c\x85" * 1000 + notification(SIGNED),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(60)
def test_hostile_texts_are_read_soon_and_never_raise(name: str) -> None:
    report = reports.parse(HOSTILE[name])
    assert report is None or report.kind is Kind.BOUNCE


def test_the_librarys_own_parser_of_headers_is_not_used() -> None:
    """It takes long for hostile fields, and raises for some."""
    assert isinstance(reports._POLICY, email.policy.EmailPolicy)
    assert type(reports._POLICY.header_fetch_parse("To", "x")) is str


def test_reports_show_no_address() -> None:
    assert "bounces" not in repr(read(notification(SIGNED)))
