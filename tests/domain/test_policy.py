"""What may be a contact."""

from pathlib import Path
from typing import Any

import phonenumbers
import pytest

from threepid.domain.addresses import parse_address
from threepid.domain.policy import check_address, check_changes
from threepid.spec.errors import Forbidden, MatrixError, ThreepidDenied, ThreepidMediumNotSupported
from world import settings


def judged(tmp_path: Path, address: str, *, new_account: bool = False, **changes: Any) -> type[MatrixError] | None:
    """The error, or None if the address is taken."""
    parsed = parse_address("email" if "@" in address else "msisdn", address)
    try:
        check_address(settings(tmp_path, **changes), parsed, new_account=new_account)
    except MatrixError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("changes", "address", "answer"),
    [
        ({}, "a@b.example", None),
        ({"email": None}, "a@b.example", ThreepidMediumNotSupported),
        ({"policy__email_domains_allowed": ["b.example"]}, "a@b.example", None),
        ({"policy__email_domains_allowed": ["b.example"]}, "a@B.Example", None),
        ({"policy__email_domains_allowed": ["b.example"]}, "a@c.example", ThreepidDenied),
        ({"policy__email_domains_allowed": ["b.example"]}, "a@x.b.example", ThreepidDenied),
        ({"policy__email_domains_allowed": ["*.b.example"]}, "a@x.b.example", None),
        ({"policy__email_domains_denied": ["b.example"]}, "a@b.example", ThreepidDenied),
        ({"policy__email_domains_denied": ["b.example"]}, "a@c.example", None),
        (
            {"policy__email_domains_allowed": ["*.b.example"], "policy__email_domains_denied": ["x.b.example"]},
            "a@x.b.example",
            ThreepidDenied,
        ),
    ],
)
def test_domains_are_allowed_or_denied(
    tmp_path: Path, changes: dict[str, Any], address: str, answer: type[MatrixError] | None
) -> None:
    assert judged(tmp_path, address, **changes) is answer


def test_new_accounts_have_further_rules_and_never_fewer(tmp_path: Path) -> None:
    rules: dict[str, Any] = {
        "policy__register_email_domains_allowed": ["staff.example", "denied.example"],
        "policy__email_domains_denied": ["denied.example"],
    }
    for domain, new, old in (
        ("staff.example", None, None),
        ("other.example", ThreepidDenied, None),
        ("denied.example", ThreepidDenied, ThreepidDenied),
    ):
        assert judged(tmp_path, f"a@{domain}", new_account=True, **rules) is new
        assert judged(tmp_path, f"a@{domain}", **rules) is old


def test_a_file_denies_its_domains_and_all_below_them(tmp_path: Path) -> None:
    file = tmp_path / "disposable.txt"
    file.write_text("mailinator.example\nTrash.Example\n\n# a remark\n")
    rules: dict[str, Any] = {"policy__email_domains_denied_file": str(file)}
    for domain in ("mailinator.example", "x.y.mailinator.example", "TRASH.example"):
        assert judged(tmp_path, f"a@{domain}", **rules) is ThreepidDenied
    for domain in ("notmailinator.example", "example.org", "mailinator.example.org"):
        assert judged(tmp_path, f"a@{domain}", **rules) is None


def test_there_are_no_phone_numbers_until_countries_are_named(tmp_path: Path) -> None:
    assert judged(tmp_path, "+447400123456") is ThreepidMediumNotSupported
    assert judged(tmp_path, "+447400123456", sms__countries=[]) is ThreepidMediumNotSupported


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("+447400123456", None),
        ("+4915123456789", None),
        ("+33612345678", ThreepidDenied),  # another country
        ("+447781123456", ThreepidDenied),  # Guernsey shares a code
        ("+18762101234", ThreepidDenied),  # Jamaica too
        ("+881612345678", ThreepidDenied),  # satellites
        ("+88213000000", ThreepidDenied),  # networks of no country
        ("+80012345678", ThreepidDenied),  # free for the caller, not for us
        ("+979123456789", ThreepidDenied),  # premium everywhere
        ("+449012345678", ThreepidDenied),  # premium
        ("+447012345678", ThreepidDenied),  # personal
        ("+448001234567", ThreepidDenied),  # toll-free
        ("+447640123456", ThreepidDenied),  # pagers
        ("+445512345678", ThreepidDenied),  # companies
        ("+4918012345", ThreepidDenied),  # shared cost
        ("+499001234567", ThreepidDenied),  # premium
        ("+49177991234567", ThreepidDenied),  # voice mail
        ("+19002345678", ThreepidDenied),  # premium
        ("+15002345678", ThreepidDenied),  # personal
    ],
)
def test_numbers_of_the_countries_that_are_named_are_taken_if_people_carry_them(
    tmp_path: Path, number: str, answer: type[MatrixError] | None
) -> None:
    assert judged(tmp_path, number, sms__countries=["GB", "DE", "US"]) is answer


def test_no_list_of_countries_lets_a_number_of_no_country_through(tmp_path: Path) -> None:
    everywhere = sorted(phonenumbers.SUPPORTED_REGIONS)
    for code in (800, 808, 870, 878, 881, 882, 883, 888, 979):
        number = phonenumbers.example_number_for_non_geo_entity(code)
        assert number is not None
        text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert judged(tmp_path, text, sms__countries=everywhere) is ThreepidDenied


def test_contacts_can_be_frozen(tmp_path: Path) -> None:
    check_changes(settings(tmp_path))
    with pytest.raises(Forbidden):
        check_changes(settings(tmp_path, policy__changes_allowed=False))
