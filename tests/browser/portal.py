"""A person in the account portal."""

from playwright.sync_api import Locator, Page, expect

from browser.served import Site
from browser.window import Window


class Portal:
    """A person in the portal, who looks at each page. Sentences are given in English and found in the window's language."""

    def __init__(self, window: Window, site: Site) -> None:
        self.window = window
        self.page: Page = window.page
        self.site = site

    def open(self, path: str) -> None:
        self.page.goto(self.site.base + path)

    def see(self, heading: str) -> None:
        """Wait for the page with this heading, and look at it."""
        expect(self.page.locator("h1")).to_have_text(self.window.say(heading))
        self.window.check_looks(self.page)

    def expect_said(self, sentence: str) -> None:
        expect(self.page.get_by_text(self.window.say(sentence))).to_be_visible()

    def field(self, label: str) -> Locator:
        return self.page.get_by_label(self.window.say(label), exact=True)

    def type(self, label: str, text: str) -> None:
        self.field(label).fill(text)

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=self.window.say(button), exact=True).click()

    def follow(self, link: str) -> None:
        self.page.get_by_role("link", name=self.window.say(link), exact=True).first.click()
