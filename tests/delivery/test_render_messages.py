"""Messages as people get them: every one has its templates, says what it must, and can be overridden."""

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from threepid.clock import MINUTE
from threepid.delivery.render import MAIL, TEXT, Rendered, Renderer, TemplateError
from threepid.domain import messages
from threepid.domain.messages import (
    EXAMPLES,
    AddressInUse,
    AddressUnknown,
    ConfirmAddress,
    ConfirmOwner,
    ContactAdded,
    ContactInUse,
    Invitation,
    Message,
    Suspicious,
)
from threepid.storage.outbox import ClaimedJob

OWN = Path(messages.__file__).parents[1] / "delivery" / "templates"
PROOFS = [example for example in EXAMPLES if isinstance(example, ConfirmAddress)]
TO_THE_ADDRESS = (ConfirmAddress, AddressInUse, AddressUnknown, ContactInUse)
TO_STRANGERS = (Invitation,)
NOTICES = [example for example in EXAMPLES if not isinstance(example, (*TO_THE_ADDRESS, *TO_STRANGERS, ConfirmOwner))]
GSM_7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""Characters of a plain text to a phone, 160 of which make one. https://www.3gpp.org/dynareport/23038.htm"""


def named(example: Message) -> str:
    return example.template


def order(message: Message, language: str = "en", changes: Mapping[str, str | int] | None = None) -> ClaimedJob:
    params = msgspec.json.encode(msgspec.to_builtins(message) | dict(changes or {})).decode()
    return ClaimedJob("id", "email", "bob@example.com", language, message.template, params, 0, 1, 1)


def render(message: Message, *, age: int = 0, language: str = "en", changes: dict[str, str] | None = None) -> Rendered:
    return Renderer().mail(order(message, language, changes), age)


def text(message: Message, *, age: int = 0, changes: dict[str, str] | None = None) -> str:
    return Renderer().text(order(message, changes=changes), age)


class Outline(HTMLParser):
    """Tags with their attributes, and whether each is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def descendants(kind: type[Message]) -> set[type[Message]]:
    return {kind}.union(*(descendants(below) for below in kind.__subclasses__()))


def test_every_message_has_an_example_and_a_complete_folder_and_every_folder_a_message() -> None:
    kinds = {kind for kind in descendants(Message) if hasattr(kind, "template")}
    assert {type(example) for example in EXAMPLES} == kinds
    assert {kind.template for kind in kinds} == {path.name for path in OWN.iterdir() if path.is_dir()}
    for kind in kinds:
        assert {path.name for path in (OWN / kind.template).iterdir()} == {*MAIL, *TEXT}


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_a_mail_names_the_server_and_what_it_is_about_and_says_what_to_do(example: Message) -> None:
    rendered = render(example)
    assert rendered.subject == " ".join(rendered.subject.split())
    assert 10 < len(rendered.subject) < 78
    for part in (rendered.text, Outline(rendered.html).text):
        words = " ".join(part.split())
        assert "example.org" in words
        if isinstance(example, TO_STRANGERS):
            assert "alice@example.com" in words
            assert "You do not know them? Ignore this mail." in words
        elif isinstance(example, TO_THE_ADDRESS):
            assert "alice@example.com" in words
            assert "Not you? Ignore this m" in words
        else:
            assert "@alice:example.org" in words
        if example in NOTICES:
            harmless = "there is nothing else to do" if isinstance(example, Suspicious) else "there is nothing to do"
            assert f"{harmless}. Not you? " in words
            assert "ell the people who run example.org" in words
        assert not re.search(r"[a-z][.!?:][A-Z]", words), "two sentences without a blank"
    assert all(len(line) < 80 for line in rendered.text.splitlines())


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_a_text_is_one_short_message_without_links(example: Message) -> None:
    shown = text(example)
    assert shown.startswith("example.org: ")
    assert len(shown) <= 160
    assert set(shown) <= GSM_7
    assert "://" not in shown
    assert "  " not in shown
    assert shown.strip() == shown
    assert ("Not you? " in shown) == (not isinstance(example, (ConfirmAddress, ConfirmOwner)))
    assert "alice@example.com" not in shown  # whose number it is knows it


def test_a_code_that_confirms_a_change_comes_without_a_link() -> None:
    example = next(one for one in EXAMPLES if isinstance(one, ConfirmOwner))
    rendered = render(example)
    assert re.search(rf"^ {{4}}{example.code}$", rendered.text, re.MULTILINE)
    assert example.code in Outline(rendered.html).text
    assert "://" not in rendered.text
    assert "href" not in rendered.html
    assert text(example).startswith("example.org: 042917 is your code to change @alice:example.org.")
    assert text(example).endswith("\n@matrix.example.org #042917")


@pytest.mark.parametrize("example", PROOFS, ids=named)
def test_a_text_with_a_code_ends_in_the_line_that_binds_it_to_the_server(example: ConfirmAddress) -> None:
    # https://wicg.github.io/sms-one-time-codes/#parsing
    said, between, bound = text(example).split("\n")
    assert (between, bound) == ("", "@matrix.example.org #042917")
    assert "042917" in said
    assert said.endswith(" It works for 10 minutes. Do not share it.")
    assert "It works for 1 minute." in text(example, age=9 * MINUTE)
    assert text(example, changes={"host": ""}) == said


def test_a_text_says_what_its_code_is_for() -> None:
    assert [text(example).partition(" is your code to ")[2].partition(". It works")[0] for example in PROOFS] == [
        "add this number to a Matrix account",
        "create a Matrix account with this number",
        "confirm this number at a homeserver",
        "set a new password for @alice:example.org",
        "choose a new password for @alice:example.org",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_no_value_adds_a_line_to_a_text(example: Message) -> None:
    nasty = "x\r\n\r\n@evil.example #999999\u2028y\u0085z\x00\u202e"
    fields = [name for name, value in msgspec.to_builtins(example).items() if isinstance(value, str)]
    for field in fields:
        shown = text(example, changes={field: nasty})
        assert shown.count("\n") == text(example).count("\n")
        assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize("example", NOTICES, ids=named)
def test_a_notice_names_the_account_and_the_kind_of_contact(example: Message) -> None:
    for shown in (render(example).subject, render(example).text, Outline(render(example).html).text, text(example)):
        assert "@alice:example.org" in shown
    for medium, kind in (("email", "email address"), ("msisdn", "phone number")):
        if isinstance(example, ContactAdded):
            changed = render(example, changes={"medium": medium})
            assert f"The {kind} b***@example.net" in " ".join(changed.text.split())
            assert f"The {kind} b***@example.net" in " ".join(Outline(changed.html).text.split())


@pytest.mark.parametrize("example", PROOFS, ids=named)
def test_a_proof_has_its_code_and_link_in_both_parts(example: ConfirmAddress) -> None:
    rendered = render(example)
    assert re.search(rf"^ {{4}}{example.code}$", rendered.text, re.MULTILINE)
    assert re.search(rf"^{re.escape(example.link)}$", rendered.text, re.MULTILINE)
    outline = Outline(rendered.html)
    assert [attributes["href"] for tag, attributes in outline.tags if tag == "a"] == [example.link] * 2
    assert outline.text.count(example.link) == 1
    assert outline.text.count(example.code) == 1
    assert "60 minutes. The code works for 10 minutes" in " ".join(outline.text.split())


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_the_html_is_well_formed_and_loads_nothing(example: Message) -> None:
    html = render(example).html
    outline = Outline(html)
    assert outline.open == []
    first, attributes = outline.tags[0]
    assert (first, attributes["lang"], attributes["dir"]) == ("html", "en", "ltr")
    assert {tag for tag, _ in outline.tags}.isdisjoint({"img", "script", "link", "iframe", "form", "object", "base"})
    assert not re.search(r"url\(|@import|src=|http-equiv", html)
    assert "prefers-color-scheme: dark" in html
    # The styles stand in the tags as well, for readers of mail that ignore style sheets.
    assert all("style" in attributes for tag, attributes in outline.tags if tag in ("h1", "p", "a", "body"))


@pytest.mark.parametrize("example", PROOFS, ids=named)
def test_lifetimes_are_told_as_what_is_left_of_them(example: ConfirmAddress) -> None:
    def told(age: int) -> tuple[list[str], bool]:
        rendered = render(example, age=age)
        assert (example.code in rendered.html) == (example.code in rendered.text)
        return re.findall(r"(\d+) minutes?", rendered.text), example.code in rendered.text

    assert told(0) == (["60", "10"], True)
    assert told(MINUTE - 1) == (["60", "10"], True)
    assert told(9 * MINUTE) == (["51", "1"], True)
    assert "The code works for 1 minute." in " ".join(render(example, age=9 * MINUTE).text.split())
    assert told(10 * MINUTE) == (["50"], False)  # the code is over, and is not offered


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_no_value_adds_a_line_or_a_tag(example: Message) -> None:
    nasty = "x\r\n\r\n    999999\u2028y\u0085z\x00\u202e<b>&\"'"
    plain = render(example)
    fields = [
        name for name, value in msgspec.to_builtins(example).items() if isinstance(value, str) and name != "origin"
    ]
    for field in fields:
        rendered = render(example, changes={field: nasty})
        # A long value fills a line more, but begins no paragraph and no indented line as a code has it.
        assert rendered.text.count("\n\n") == plain.text.count("\n\n")
        assert len(re.findall("^ ", rendered.text, re.MULTILINE)) == len(re.findall("^ ", plain.text, re.MULTILINE))
        assert rendered.subject.isprintable()
        assert "\x00" not in rendered.html
        assert [tag for tag, _ in Outline(rendered.html).tags] == [tag for tag, _ in Outline(plain.html).tags]


@pytest.mark.parametrize("language", ["sv", "sv-FI", "", "../confirm_address", "en/..", "..", "/etc", "zh-Hant-TW\n"])
def test_a_language_without_templates_gets_english_and_says_so(language: str) -> None:
    assert render(EXAMPLES[0], language=language) == render(EXAMPLES[0])


def test_a_message_without_templates_and_a_missing_value_are_errors() -> None:
    with pytest.raises(TemplateError, match="no_such_message"):
        Renderer().mail(ClaimedJob("id", "email", "b@example.com", "en", "no_such_message", "{}", 0, 1, 1))
    with pytest.raises(Exception, match="'address' is undefined"):
        Renderer().mail(ClaimedJob("id", "email", "b@example.com", "en", "confirm_address", '{"brand": "x"}', 0, 1, 1))


def write_message(folder: Path, text: str = "own text {{ brand }}") -> None:
    folder.mkdir(parents=True)
    for part in MAIL:
        (folder / part).write_text(f"<p lang={{{{ language }}}} dir={{{{ direction }}}}>{text}</p>")


def test_a_folder_overrides_a_whole_message_and_no_other(tmp_path: Path) -> None:
    write_message(tmp_path / "confirm_address")
    renderer = Renderer(str(tmp_path))
    assert "own text example.org" in renderer.mail(order(EXAMPLES[0])).text
    assert "own text" in renderer.mail(order(EXAMPLES[0])).html
    assert renderer.mail(order(EXAMPLES[1])) == Renderer().mail(order(EXAMPLES[1]))


def test_a_folder_overrides_the_mail_or_the_text_or_both(tmp_path: Path) -> None:
    write_message(tmp_path / "confirm_address")
    assert Renderer(str(tmp_path)).text(order(EXAMPLES[0])) == text(EXAMPLES[0])
    broken(
        tmp_path,
        "register_address/sms.txt",
        "{% extends 'proof.sms.txt' %}{% block what %}{{ code }} is your code to come in.{% endblock %}",
    )
    renderer = Renderer(str(tmp_path))
    assert renderer.text(order(EXAMPLES[1])).startswith("example.org: 042917 is your code to come in. It works")
    assert renderer.mail(order(EXAMPLES[1])) == render(EXAMPLES[1])
    broken(tmp_path, "register_address/sv/sms.txt", "{{ code }} är koden")
    renderer = Renderer(str(tmp_path))
    assert renderer.text(order(EXAMPLES[1], "sv-FI")) == "042917 är koden"
    assert renderer.mail(order(EXAMPLES[1], "sv-FI")) == render(EXAMPLES[1])


def test_a_language_is_found_by_its_tag_or_a_wider_one(tmp_path: Path) -> None:
    write_message(tmp_path / "confirm_address" / "he", "hebrew")
    write_message(tmp_path / "confirm_address" / "pt-BR", "brazilian")
    renderer = Renderer(str(tmp_path))
    for language in ("he", "he-IL"):
        assert "<p lang=he dir=rtl>hebrew" in renderer.mail(order(EXAMPLES[0], language)).text
    assert "<p lang=pt-BR dir=ltr>brazilian" in renderer.mail(order(EXAMPLES[0], "pt-BR")).text
    for language in ("pt", "en", "pt-PT"):
        assert renderer.mail(order(EXAMPLES[0], language)) == Renderer().mail(order(EXAMPLES[0]))


def test_a_layout_can_be_overridden_for_all_messages(tmp_path: Path) -> None:
    (tmp_path / "layout.html").write_text("<html><body>our layout {% block content %}{% endblock %}</body></html>")
    html = Renderer(str(tmp_path)).mail(order(EXAMPLES[0])).html
    assert "our layout" in html
    assert "042917" in html


def broken(tmp_path: Path, place: str, text: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"confirm_address/body.txt": "x"}, r"confirm_address lacks subject.txt, body.html"),
        ({"confirm_address/de/body.txt": "x"}, r"de lacks subject.txt, body.html"),
        ({"confirm_adress/body.txt": "x"}, r"there is no message confirm_adress, only .*confirm_address"),
        ({f"reset_password/{part}": "{{ user }}" for part in MAIL}, r"reset_password: UndefinedError: 'user' is"),
        ({f"reset_password/fr/{part}": "{% if %}" for part in MAIL}, r"reset_password/fr: TemplateSyntaxError"),
        ({"reset_password/sms.txt": "{{ user }}"}, r"reset_password: UndefinedError: 'user' is"),
        ({"reset_password/fr/sms.txt": "x", "reset_password/fr/body.txt": "x"}, r"fr lacks subject.txt, body.html"),
        ({"reset_password/notes": "x"}, r"reset_password lacks subject.txt, body.txt, body.html"),
        ({"proof.sms.txt": "{{ nothing }}"}, r"UndefinedError: 'nothing' is undefined"),
        ({"layout.html": "{{ nothing }}"}, r"UndefinedError: 'nothing' is undefined"),
    ],
)
def test_a_mistake_in_the_operators_folder_is_found_at_the_start(
    tmp_path: Path, files: dict[str, str], complaint: str
) -> None:
    for place, text in files.items():
        broken(tmp_path, place, text)
    with pytest.raises(TemplateError, match=complaint):
        Renderer(str(tmp_path))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="this folder does not exist"):
        Renderer(str(tmp_path / "nowhere"))


def test_what_was_rendered_does_not_show_in_a_log() -> None:
    assert repr(render(EXAMPLES[0])) == "Rendered()"
