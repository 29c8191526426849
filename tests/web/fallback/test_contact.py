"""The pages of the stages that prove an email address or a phone number."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from web.visitor import DONE, Page, Visitor, begin, completed
from world import PASSWORD, World

EMAIL = "m.login.email.identity"
PHONE = "m.login.msisdn"
NAMED = {"username": "bob"}
"""A page asks for an address only when the app has said whose it becomes."""


def at_email(world: World, address: str = "bob@example.com") -> tuple[Visitor, str]:
    """A visitor who has been sent a mail, and the session."""
    session: str = begin(world, body=NAMED)["session"]
    visitor = Visitor.at_stage(world, EMAIL, session)
    assert visitor.press("Send me a code", address=address).status == 200, visitor.page.problem
    return visitor, session


def test_the_code_of_the_mail_completes_the_stage(world: World) -> None:
    visitor, session = at_email(world, " Bob@Example.com ")
    assert "Bob@example.com" in visitor.page.text
    assert visitor.page.attributes["code"]["autocomplete"] == "one-time-code"
    mail = world.mail()
    assert mail.recipient == "Bob@example.com"
    assert visitor.press("Continue", code=f" {mail.code[:3]} {mail.code[3:]} ").heading == DONE
    assert completed(world, session) == ["all"]


def test_an_account_is_opened_with_the_address_that_was_proven_on_the_page(world: World) -> None:
    body = {"username": "bob", "password": PASSWORD}
    session = begin(world, body=body)["session"]
    visitor = Visitor.at_stage(world, EMAIL, session)
    visitor.press("Send me a code", address="bob@example.com")
    visitor.press("Continue", code=world.mail().code)
    answer = world.post("/_matrix/client/v3/register", {"auth": {"session": session}})
    assert answer.status_code == 200, answer.text
    assert world.contacts(answer.json()["access_token"]) == ["bob@example.com"]


def test_the_link_of_the_mail_does_too(world: World) -> None:
    visitor, _ = at_email(world)
    early = visitor.press("I pressed the button")
    assert early.status == 403
    assert early.problem.startswith("We have not seen that yet")
    assert world.get(world.mail().link).status_code == 200
    assert visitor.press("I pressed the button").status == 403
    assert world.post(world.mail().link).status_code == 200
    assert visitor.press("I pressed the button").heading == DONE


@pytest.mark.parametrize("button", ["Send me a code", "Send another mail"])
def test_who_asks_for_a_mail_after_the_link_was_confirmed_is_done(world: World, button: str) -> None:
    """No mail is sent then, so the page must not say that one was."""
    session = begin(world, body=NAMED)["session"]
    visitor = Visitor.at_stage(world, EMAIL, session)
    form = {**visitor.page.fields, "address": "bob@example.com"}
    visitor.send(form)
    if button != "Send me a code":
        form = {**visitor.page.fields, "action": "again"}
    assert world.post(world.mail().link).status_code == 200
    assert visitor.send(form).heading == DONE
    assert completed(world, session) == ["all"]
    assert len(world.mails()) == 1


def test_a_wrong_code_is_told_beside_the_field_and_may_be_put_right(world: World) -> None:
    visitor, session = at_email(world)
    wrong = visitor.press("Continue", code="12345x")
    assert (wrong.status, wrong.texts["code-problem"]) == (400, "This code is wrong.")
    assert wrong.attributes["code"]["aria-describedby"] == "code-problem code-hint"
    assert completed(world, session) == []
    assert visitor.press("Continue", code=world.mail().code).heading == DONE


def test_after_too_many_wrong_codes_another_mail_begins_anew(world: World) -> None:
    visitor, _ = at_email(world)
    old = world.mail()
    told = [visitor.press("Continue", code="12345x").problem for _ in range(6)]
    assert told[0] == "This code is wrong."
    assert "Too many wrong codes" in told[-1]
    # The way on is a new code: there is no field for another guess, and the right one comes too late.
    assert "code" not in visitor.page.fields
    assert list(visitor.page.buttons) == ["Send a new code"]
    hidden = visitor.page.fields
    late = visitor.send({**hidden, "action": "code", "code": old.code})
    assert "Too many wrong codes" in late.problem
    world.clock.advance(1)
    assert visitor.press("Send a new code").status == 200
    assert len(world.mails()) == 2
    assert visitor.press("Continue", code=world.mail().code).heading == DONE


def test_another_mail_is_sent_for_each_press_and_all_of_them_are_good(world: World) -> None:
    visitor, _ = at_email(world)
    first = world.mail()
    for count in (2, 3):
        world.clock.advance(1)
        assert visitor.press("Send another mail").problem == ""
        assert len(world.mails()) == count
    assert visitor.press("Continue", code=first.code).heading == DONE


@pytest.mark.parametrize("button", ["Send me a code", "Send another mail"])
def test_a_page_that_is_reloaded_sends_no_other_mail(world: World, button: str) -> None:
    """A browser sends the form again, and a second mail would make people type the code of the first into the page of the second."""
    session = begin(world, body=NAMED)["session"]
    visitor = Visitor.at_stage(world, EMAIL, session)
    form = {**visitor.page.fields, "address": "bob@example.com"}
    if button != "Send me a code":
        visitor.send(form)
        form = {**visitor.page.fields, "action": "again"}
    visitor.send(form)
    sent = len(world.mails())
    assert visitor.send(form).status == 200
    assert len(world.mails()) == sent
    assert visitor.press("Continue", code=world.mail().code).heading == DONE
    assert completed(world, session) == ["all"]


@pytest.mark.parametrize("button", ["Send me a code", "Send another mail"])
def test_a_page_that_is_reloaded_after_too_many_wrong_codes_sends_one_mail(world: World, button: str) -> None:
    session = begin(world, body=NAMED)["session"]
    visitor = Visitor.at_stage(world, EMAIL, session)
    form = {**visitor.page.fields, "address": "bob@example.com"}
    visitor.send(form)
    if button != "Send me a code":
        form = {**visitor.page.fields, "action": "again"}
    for _ in range(6):
        visitor.press("Continue", code="12345x")
    for _ in range(2):
        world.clock.advance(1)
        assert visitor.send(form).problem == ""
        assert len(world.mails()) == 2
    for _ in range(6):
        visitor.press("Continue", code="12345x")
    world.clock.advance(1)
    assert visitor.send(form).problem == ""
    assert len(world.mails()) == 3
    assert visitor.press("Continue", code=world.mail().code).heading == DONE
    assert completed(world, session) == ["all"]


def test_another_mail_is_sent_after_the_first_form_was_sent_again(world: World) -> None:
    """The first page is shown from the browser's memory: it does not know how many mails its session has sent."""
    visitor = Visitor.at_stage(world, EMAIL, begin(world, body=NAMED)["session"])
    form = {**visitor.page.fields, "address": "bob@example.com"}
    visitor.send(form)
    for _ in range(2):
        visitor.press("Send another mail")
    visitor.send(form)
    assert len(world.mails()) == 3
    world.clock.advance(1)
    visitor.press("Send another mail")
    assert len(world.mails()) == 4
    assert visitor.press("Continue", code=world.mail().code).heading == DONE


def test_a_code_that_is_too_old_is_told_and_replaced(world: World) -> None:
    visitor, _ = at_email(world)
    old = world.mail()
    world.clock.advance(11 * 60_000)
    assert visitor.press("Continue", code=old.code).problem.startswith("This code has expired")
    assert list(visitor.page.buttons) == ["Send a new code"]
    assert visitor.press("Send a new code").problem == ""
    assert visitor.press("Continue", code=world.mail().code).heading == DONE


def test_another_address_may_be_used_instead(world: World) -> None:
    visitor, _ = at_email(world)
    visitor.follow("Use another email address")
    assert visitor.page.heading == "Your email address"
    world.clock.advance(1)
    visitor.press("Send me a code", address="carol@example.com")
    assert world.mail().recipient == "carol@example.com"
    assert visitor.press("Continue", code=world.mail().code).heading == DONE


@pytest.mark.parametrize("address", ["", "bob", "bob@", "bob@@example.com", "bob@example.com\x00", "b" * 5000, "@bob"])
def test_what_is_no_address_is_told_beside_the_field(world: World, address: str) -> None:
    visitor = Visitor.at_stage(world, EMAIL, begin(world, body=NAMED)["session"])
    refused = visitor.send({"action": "send", "address": address})
    assert refused.status == 400
    if "\x00" not in address:  # a form with such characters is no form at all
        assert "cannot send to this email address" in refused.texts["address-problem"]
        assert refused.fields["address"] == address.strip()
    assert world.mails() == []


def test_limits_and_policy_hold_on_the_page(database_url: str, tmp_path: Path) -> None:
    limit = {"burst": 3, "per_hour": 1}  # of which one is kept for callers whom an account with the address knows
    with World(
        database_url,
        tmp_path,
        limits={"message_to_address": limit},
        policy={"email_domains_denied": ["spam.example"]},
    ) as world:
        visitor = Visitor.at_stage(world, EMAIL, begin(world, body=NAMED)["session"])
        denied = visitor.press("Send me a code", address="bob@spam.example")
        assert (denied.status, bool(denied.problem)) == (403, True)
        visitor.press("Send me a code", address="bob@example.com")
        assert visitor.press("Send another mail").status == 200
        late = visitor.press("Send another mail")
        assert late.status == 429
        assert "Too many messages" in late.problem
        assert "code" in late.fields
        assert "code-problem" not in late.texts
        assert "Send another mail" not in late.buttons
        assert int(late.headers["Retry-After"]) > 0
        assert len(world.mails()) == 2


def test_whether_an_address_has_an_account_is_told_to_the_mailbox_only(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.mails()
    world.clock.advance(1)
    known, _ = at_email(world, "alice@example.com")
    unknown, _ = at_email(world, "nobody@example.com")

    def told(page: Page) -> tuple[object, ...]:
        return page.status, page.heading, page.problem, page.structure

    assert told(known.page) == told(unknown.page)
    assert {mail.recipient for mail in world.mails()[-2:]} == {"alice@example.com", "nobody@example.com"}


def test_the_password_of_somebody_who_is_logged_in_is_set_by_the_page(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.clock.advance(1)
    asked = begin(world, "/account/password", {"new_password": "another good one"}, access_token=token)
    session = asked["session"]
    visitor = Visitor.at_stage(world, EMAIL, session)
    assert visitor.page.heading == "The email address of your account"
    assert "set a new password. @alice:example.org" in visitor.page.text
    visitor.press("Send me a code", address="alice@example.com")
    assert visitor.press("Continue", code=world.mail().code).heading == DONE
    answer = world.post("/_matrix/client/v3/account/password", {"auth": {"session": session}}, token=token)
    assert answer.status_code == 200, answer.text
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": "another good one",
    }
    assert world.post("/_matrix/client/v3/login", login).status_code == 200


def test_a_proof_is_good_for_one_stage_only(world: World) -> None:
    visitor, _ = at_email(world)
    carried = {**visitor.page.fields, "action": "look"}
    assert visitor.press("Continue", code=world.mail().code).heading == DONE
    body = {"username": "bob", "password": PASSWORD}
    session = begin(world, body=body)["session"]
    first = Visitor.at_stage(world, EMAIL, session)
    assert first.send(carried).heading == DONE
    assert world.post("/_matrix/client/v3/register", {"auth": {"session": session}}).status_code == 200
    second = Visitor.at_stage(world, EMAIL, begin(world, body={"username": "carol"})["session"])
    assert second.send(carried).status == 403
    assert second.page.problem


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"action": "code"},
        {"action": "again"},
        {"action": "look"},
        {"action": "nonsense"},
        {
            "action": "code",
            "sid": "x",
            "client_secret": "y",
            "code": "1",
            "attempt": "-1",
            "sent_to": "bob@example.com",
        },
        {"action": "again", "sent_to": "bob@example.com", "client_secret": "a b", "attempt": "9" * 400},
        {"action": "look", "sid": "\u2028", "client_secret": "<", "attempt": "\u0663"},
        {"action": "send", "address": "bob@example.com", "country": "??", "x": "y"},
    ],
)
def test_a_form_that_was_tampered_with_does_nobody_any_good(world: World, fields: dict[str, str]) -> None:
    session = begin(world, body=NAMED)["session"]
    visitor = Visitor.at_stage(world, EMAIL, session)
    assert visitor.send(fields).heading != DONE
    assert visitor.page.status < 500
    assert completed(world, session) == []


@pytest.fixture
def phones(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, sms__countries=["GB", "DE"]) as world:
        yield world


@pytest.mark.parametrize(
    ("typed", "country"), [("07400 123456", "GB"), ("+44 7400 123456", "DE"), ("0044 7400-123456", "DE")]
)
def test_a_phone_number_is_typed_as_at_home_or_with_its_country(phones: World, typed: str, country: str) -> None:
    session = begin(phones, body=NAMED)["session"]
    visitor = Visitor.at_stage(phones, PHONE, session)
    assert visitor.page.options == ["DE", "GB"]
    visitor.press("Send me a code", address=typed, country=country)
    assert "+447400123456" in visitor.page.text
    assert "I pressed the button" not in visitor.page.buttons
    assert phones.text().recipient == "+447400123456"
    assert visitor.press("Continue", code="12345x").problem == "This code is wrong."
    assert visitor.press("Continue", code=phones.text().code).heading == DONE
    assert completed(phones, session) == ["all"]


def test_the_country_is_that_of_the_browser_until_another_is_chosen(phones: World) -> None:
    for header, chosen in (("en-GB,en", "GB"), ("en,de-AT;q=0.9,de-DE;q=0.8", "DE"), ("fr-FR", "DE"), ("", "DE")):
        visitor = Visitor.at_stage(phones, PHONE, begin(phones, body=NAMED)["session"], **{"Accept-Language": header})
        assert visitor.page.fields["country"] == chosen, header
    refused = visitor.press("Send me a code", address="12", country="GB")
    assert (refused.status, refused.fields["country"], refused.fields["address"]) == (400, "GB", "12")
    assert "cannot send to this phone number" in refused.texts["address-problem"]


def test_another_text_is_sent_when_asked_for(phones: World) -> None:
    visitor = Visitor.at_stage(phones, PHONE, begin(phones, body=NAMED)["session"])
    visitor.press("Send me a code", address="+447400123456")
    first = phones.text()
    assert visitor.press("Send another SMS").problem == ""
    assert phones.text().text != first.text
    assert visitor.press("Continue", code=phones.text().code).heading == DONE


def test_a_country_that_is_not_texted_is_refused(phones: World) -> None:
    visitor = Visitor.at_stage(phones, PHONE, begin(phones, body=NAMED)["session"])
    refused = visitor.press("Send me a code", address="+12015550123")
    assert (refused.status, refused.problem) == (403, "This server does not allow phone numbers of this country.")
