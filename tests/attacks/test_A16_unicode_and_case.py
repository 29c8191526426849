"""A16: one canonical form; nothing is ever mailed to a look-alike of a stored address."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threepid.domain.addresses import InvalidAddress, parse_email
from world import World

LOOK_ALIKES = [
    "mıke@example.com",
    "MİKE@example.com",
    "mi\N{KELVIN SIGN}e@example.com",
    "ｍｉｋｅ@example.com",
    "mike\u0301@example.com",
    "ﬁ@example.com",
    "ſ@example.com",
    "strauß@example.com",
]


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=3000, deadline=None)
def test_the_canonical_form_is_a_fixed_point(local: str, domain: str) -> None:
    try:
        once = parse_email(f"{local}@{domain}")
    except InvalidAddress:
        return
    again = parse_email(once.canonical)
    assert again.canonical == once.canonical
    assert parse_email(once.address) == once


ATEXT = "abcXYZ019!#$%&'*+/=?^_`{|}~-"


@given(st.text(ATEXT, min_size=1, max_size=30), st.from_regex(r"\A[a-zA-Z]{1,10}\.[a-zA-Z]{2,8}\Z"))
@settings(max_examples=3000, deadline=None)
def test_case_does_not_matter(local: str, domain: str) -> None:
    forms = {parse_email(text).canonical for text in (f"{local}@{domain}", f"{local.upper()}@{domain.swapcase()}")}
    assert len(forms) == 1


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_a_local_part_beyond_ascii_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_email(text)


def test_composed_and_decomposed_domains_are_one() -> None:
    texts = [unicodedata.normalize(form, "a@bücher.example") for form in ("NFC", "NFD")]
    assert texts[0] != texts[1]
    assert {parse_email(text).canonical for text in texts} == {"a@xn--bcher-kva.example"}


def test_the_sharp_s_of_a_domain_is_never_folded_into_another_domain() -> None:
    assert parse_email("a@straße.example").canonical != parse_email("a@strasse.example").canonical


def test_a_reset_goes_to_the_spelling_that_was_verified(world: World) -> None:
    from threepid.domain.validation.purposes import Purpose

    token = world.register("mike")
    world.add(token, world.validated(world.identity_token(token, "mike"), "Mike@example.com"))
    for number, typed in enumerate(["MIKE@EXAMPLE.COM", "mike@example.com", "mIkE@ExAmPlE.cOm"]):
        world.clock.advance(1)
        world.run(
            world.server.services.validation.request_token(
                Purpose.RESET, parse_email(typed), client_secret=f"s{number}", send_attempt=1, next_link=None
            )
        )
    assert [mail.recipient for mail in world.mails()] == ["Mike@example.com"] * 4


def test_no_second_account_can_hold_another_spelling(world: World) -> None:
    alice, bob = world.register("alice"), world.register("bob")
    assert world.add(alice, world.validated(world.identity_token(alice), "a@example.com")).status_code == 200
    world.clock.advance(1)
    answer = world.add(bob, world.validated(world.identity_token(bob, "bob"), "A@EXAMPLE.com"))
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_THREEPID_IN_USE")
