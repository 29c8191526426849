"""Messages in languages that are written from right to left: names, addresses and numbers in them read from left to right."""

import html
import json
from typing import Final

import msgspec
import pytest
from playwright.sync_api import Browser

from browser.window import MIRRORED
from delivery.test_render_messages import named, order
from threepid.delivery.render import Renderer
from threepid.domain.messages import EXAMPLES
from threepid.domain.origin import Origin
from threepid.i18n.catalogues import direction, languages

RIGHT_TO_LEFT: Final = tuple(language for language in languages() if direction(language) == "rtl")
RENDERER: Final = Renderer(contact="help@example.org")
ORIGIN: Final = Origin(1_800_000_000_000, "2001:db8:1::/56", "Firefox", "Windows").in_message()
PLAIN: Final = '<div dir="auto" style="unicode-bidi: plaintext; white-space: pre-wrap">{}</div>'
"""A program that shows plain text gives each line the direction of its first letter, or all of them that of the first line."""
WHOLE: Final = '<div dir="rtl" style="white-space: pre-wrap">{}</div>'


@pytest.mark.parametrize("language", RIGHT_TO_LEFT)
def test_names_in_messages_read_from_left_to_right(chromium: Browser, language: str) -> None:
    page, found = chromium.new_page(), {}
    for example in EXAMPLES:
        changes: dict[str, str | int] = {"origin": ORIGIN} if "origin" in msgspec.to_builtins(example) else {}
        job = order(example, language, changes)
        mail = RENDERER.mail(job)
        shown = {"HTML": mail.html}
        for part, text in (("text", mail.text), ("subject", mail.subject), ("SMS", RENDERER.text(job))):
            shown |= {f"{part}, by line": PLAIN.format(html.escape(text)), part: WHOLE.format(html.escape(text))}
        for part, document in shown.items():
            page.set_content(document)
            if mirrored := page.evaluate(MIRRORED):
                found[f"{named(example)}, {part}"] = mirrored
    page.close()
    assert found == {}, json.dumps(found, indent=1)
