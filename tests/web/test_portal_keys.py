"""The page on which a person lets an app replace lost keys, beside a homeserver."""

from pathlib import Path

from beside import beside_a_synapse
from threepid.clock import MINUTE
from web.portal_browser import Browser

KEYS = "/account/keys"
ALLOWED = "Your app can reset your identity now, once, within ten minutes. Go back to it."


def test_the_page_after_a_reset_was_allowed_can_be_reloaded(database_url: str, tmp_path: Path) -> None:
    """A telephone drops the page while its person is in the app, and loads it again: that must not allow another reset."""
    with beside_a_synapse(database_url, tmp_path) as both:
        both.world.register()
        both.deliver()
        browser = Browser(both.world)
        browser.sign_in()
        browser.open(KEYS)
        browser.press("Allow the reset")
        assert ALLOWED in browser.page.text
        alice = both.synapse.users["alice"]
        assert alice.may_reset_keys
        alice.may_reset_keys = False  # as it is after the reset
        assert browser.trail[-1].startswith("GET ")
        browser.open(browser.path)
        assert ALLOWED in browser.page.text
        assert not alice.may_reset_keys
        browser.speak("de")
        assert "Allow" not in browser.page.text
        assert not browser.page.buttons.keys() - {"Abmelden"}


def test_what_was_allowed_ten_minutes_ago_is_not_said(database_url: str, tmp_path: Path) -> None:
    with beside_a_synapse(database_url, tmp_path) as both:
        both.world.register()
        both.deliver()
        browser = Browser(both.world)
        browser.sign_in()
        now = both.world.clock.now()
        for since in (now - 10 * MINUTE, now + 1, "", "x", "\u0663", "-1", "9" * 5000):
            browser.open(f"{KEYS}?allowed={since}")
            assert "Allow the reset" in browser.page.buttons
        browser.open(f"{KEYS}?allowed={now - 10 * MINUTE + 1}")
        assert ALLOWED in browser.page.text
