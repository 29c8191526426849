"""Messages in every language: mails with all parts, and SMS that fit into one message of the network."""

import pytest

from delivery.test_render_messages import Outline, named, order
from threepid.delivery.render import Renderer
from threepid.delivery.segments import fits_one, segments
from threepid.domain import messages
from threepid.domain.messages import EXAMPLES, ConfirmAddress, Message, ResetPassword
from threepid.i18n import catalogues
from threepid.i18n.marks import LEFT_TO_RIGHT

RENDERER = Renderer(contact="help@example.org")
INVISIBLE = "\u00a0\u202f\u200c"
"""No-break spaces, and the zero-width non-joiner of Persian: right spelling, though Python does not call them printable."""
NAMED = ("@alice:example.org", "b***@example.net", "+4479***23", "042917")


@pytest.mark.parametrize("language", catalogues.languages())
@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_an_sms_is_one_segment_and_says_what_it_is_about(example: Message, language: str) -> None:
    closing: dict[str, str | int] = {"can_close": 1}
    for changes in ({}, closing) if isinstance(example, ResetPassword) else ({},):
        shown = RENDERER.text(order(example, language, changes))
        assert fits_one(shown), f"{len(shown)}: {shown}"
        english = RENDERER.text(order(example, "en", changes))
        assert all(value in shown for value in NAMED if value in english and value != "@alice:example.org")
        assert "\n\n\n" not in shown
        if isinstance(example, ConfirmAddress):
            assert shown.endswith("\n\n@matrix.example.org #042917")


@pytest.mark.parametrize("language", catalogues.languages())
@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_a_mail_is_in_its_language_and_direction(example: Message, language: str) -> None:
    mail = RENDERER.mail(order(example, language))
    tag, attributes = Outline(mail.html).tags[0]
    assert (tag, attributes["lang"], attributes["dir"]) == ("html", language, catalogues.direction(language))
    english = RENDERER.mail(order(example, "en"))
    assert (mail.subject == english.subject) == (language == "en")
    assert (mail.text == english.text) == (language == "en")
    marks = {LEFT_TO_RIGHT} if catalogues.direction(language) == "rtl" else set()
    assert {one for one in mail.text if not one.isprintable()} <= {"\n", *INVISIBLE, *marks}
    assert {one for one in mail.subject if not one.isprintable()} <= {*INVISIBLE, *marks}


def test_a_subject_keeps_the_spelling_of_its_language() -> None:
    """Persian divides the parts of a word by a character that has no width, not by a space."""
    unbound = next(example for example in EXAMPLES if isinstance(example, messages.Unbound))
    assert "نمی\u200cشود" in RENDERER.mail(order(unbound, "fa")).subject


def test_a_date_is_written_as_the_language_writes_it() -> None:
    example = next(example for example in EXAMPLES if isinstance(example, messages.ConfirmAddress))
    assert "15 January 2027 08:00 UTC" in RENDERER.mail(order(example, "en")).text
    assert "15. Januar 2027 08:00 UTC" in RENDERER.mail(order(example, "de")).text


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("x" * 160, True),
        ("x" * 161, False),
        ("€" * 80, True),
        ("€" * 81, False),
        ("ж" * 70, True),
        ("ж" * 71, False),
        ("😀" * 35, True),
        ("😀" * 36, False),
        ("ç" + "x" * 70, False),
        ("", True),
    ],
)
def test_the_length_of_one_message_depends_on_its_characters(text: str, fits: bool) -> None:
    assert fits_one(text) == fits


def test_a_long_name_takes_a_shorter_form() -> None:
    reset = next(example for example in EXAMPLES if isinstance(example, ResetPassword))

    def said(user_id: str, language: str = "en") -> str:
        return RENDERER.text(order(reset, language, {"user_id": user_id})).partition("\n")[0]

    assert said("@alice:example.org").endswith("Do not share it.")
    assert said(f"@{'a' * 40}:example.org").endswith(f"for @{'a' * 40}:example.org.")
    assert said(f"@{'a' * 120}:example.org") == "Code for a new password: 042917"


def test_the_contact_stands_in_notices_if_there_is_one() -> None:
    for example in EXAMPLES:
        told = "You can reach them at help@example.org." in " ".join(RENDERER.mail(order(example)).text.split())
        assert told == ("the people who run" in " ".join(RENDERER.mail(order(example)).text.split()))
        assert "You can reach them" not in Renderer().mail(order(example)).text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" * 10, 2),
        ("a" * 152 + "€" * 76, 2),
        ("a" * 152 + "€" * 77, 3),
        ("я" * 70, 1),
        ("я" * 71, 2),
        ("я" * 134, 2),
        ("я" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 66, 2),
        ("😀" * 67, 3),
    ],
)
def test_a_longer_text_takes_parts_that_split_no_character(text: str, count: int) -> None:
    assert segments(text) == count
