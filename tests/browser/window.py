"""A window of the browser, and an app on another site that opens pages in it."""

import re
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize

from browser.accessibility import violations
from rig import wait_for
from threepid.i18n import Text
from threepid.i18n.catalogues import DEFAULT_LANGUAGE, direction

APP = "https://app.example/"
OPENER = """<!doctype html><title>app</title><h1>The app</h1><script>
window.heard = [];
window.addEventListener("message", (event) => window.heard.push([event.origin, event.data]));
</script><button onclick="window.open(this.dataset.url)">Go on in the browser</button>"""
PHONE: ViewportSize = {"width": 390, "height": 844}
NARROWEST = 320
"""What a page must fit into: https://www.w3.org/TR/WCAG22/#reflow."""
WIDE = 1280
_TAG: Final = re.compile("<[^>]*>")
MOST_BYTES: Final = 60_000
"""What a page may weigh with its styles, scripts and pictures."""
EXAMINED: Final = ("en", "ar")
"""The languages in which axe-core looks at pages, one for each direction: in the others it would find the same."""
SHOTS: Final = Path(__file__).parents[2] / "build" / "screenshots"
DANGLING = """
() => {
  const found = [];
  const names = ["aria-describedby", "aria-labelledby", "aria-controls", "aria-details", "aria-errormessage", "aria-owns"];
  for (const one of document.querySelectorAll("*")) {
    const ids = names.flatMap((name) => (one.hasAttribute(name) ? one.getAttribute(name).split(" ") : []));
    if (one.tagName === "LABEL" && one.hasAttribute("for")) {
      ids.push(one.getAttribute("for"));
    }
    found.push(...ids.filter((id) => !document.getElementById(id)).map((id) => `${one.outerHTML} names ${id}`));
  }
  return found;
}
"""
"""Labels and descriptions of what is not there, after the page's scripts have changed it."""


MIRRORED = r"""
() => {
  const names = /@[a-z0-9._=\/+-]+:[a-z0-9.:-]*[a-z0-9]|[\w.*+-]+@[a-z0-9.-]*[a-z0-9]|\+\d{2,}|\d+\.\d+\.\d+\.\d+(?:\/\d+)?|[0-9a-f]{1,4}:[0-9a-f]*:[0-9a-f:]*(?:\/\d+)?|localhost:\d+/gi;
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const at = (node, index) => {
    const range = document.createRange();
    range.setStart(node, index);
    range.setEnd(node, index + 1);
    return range.getBoundingClientRect();
  };
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement.closest(".mails, .mail, h1 bdi")) {
      continue; // a mail is shown as it is
    }
    for (const { 0: name, index } of node.parentElement.checkVisibility() ? node.data.matchAll(names) : []) {
      for (let one = index; one < index + name.length - 1; one++) {
        const [here, next] = [at(node, one), at(node, one + 1)];
        if (next.top < here.bottom && next.bottom > here.top && next.left < here.left) {
          found.push(`${name} at ${name[one - index]}`);
        }
      }
    }
  }
  return found;
}
"""
"""Names, addresses and numbers that do not read from left to right, as they do in every language."""
LOADED = """
() => ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type))
  .map((one) => [new URL(one.name).origin, one.decodedBodySize])
"""
"""Where the page and all that it needs came from, and their bytes, also of what the browser had already."""


class Window:
    """A window of the browser, in which nothing may go wrong unseen."""

    def __init__(
        self, context: BrowserContext, language: str = DEFAULT_LANGUAGE, *, name: str = "page", scripts: bool = True
    ) -> None:
        """`name` begins the names of the pictures; a context without JavaScript has no `scripts`."""
        self.context = context
        self.language = language
        self.name = name
        self._has_axe = scripts and language in EXAMINED
        self.trouble: list[str] = []
        self._looks = 0
        context.on("console", self._note)
        context.on("weberror", lambda error: self.trouble.append(str(error.error)))
        context.route(APP, lambda route: route.fulfill(body=OPENER, content_type="text/html"))
        self.page = context.new_page()

    def _note(self, message: ConsoleMessage) -> None:
        # That a refused form answers with a status of its own is no mishap; a blocked script or style is.
        if message.type in {"error", "warning"} and "server responded with a status of 4" not in message.text:
            self.trouble.append(message.text)

    def say(self, sentence: str, /, **values: str) -> str:
        """The sentence as people read it on pages in this language."""
        return _TAG.sub("", Text(sentence, **values).in_language(self.language))

    def open_from_app(self, url: str) -> Page:
        """The popup that an app on another site opens."""
        self.page.goto(APP)
        self.page.eval_on_selector("button", "(button, url) => { button.dataset.url = url; }", url)
        with self.page.expect_popup() as popup:
            self.page.get_by_role("button").click()
        popup.value.wait_for_load_state()
        return popup.value

    def check_looks(self, page: Page, *, guest: str = "") -> None:
        """Can it be read and reached: on narrow and wide screens, in dark and light, by all who come?

        `guest` is the only other site that the page may load from. Pictures are left in `build/screenshots`.
        """
        page.wait_for_load_state()  # with its styles
        assert page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == [
            self.language,
            direction(self.language),
        ]
        assert page.locator("h1").count() == page.locator("main").count() == 1
        assert (found := page.evaluate(DANGLING)) == [], found
        assert (found := page.evaluate(MIRRORED)) == [], found
        self._check_weight(page, guest)
        self._looks += 1
        for width in (WIDE, NARROWEST):
            page.set_viewport_size({**PHONE, "width": width})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{page.url} at {width}"
            for scheme in ("dark", "light"):
                page.emulate_media(color_scheme=scheme)
                if self._has_axe:
                    assert (found := violations(page)) == [], f"{page.url} at {width}, {scheme}: {found}"
                if (width == WIDE) == (scheme == "dark"):
                    self._shoot(page, f"{width}-{scheme}")
        page.set_viewport_size(PHONE)

    def _check_weight(self, page: Page, guest: str) -> None:
        """Does it load little, and only from its own server?"""
        loaded = page.evaluate(LOADED)
        origin = page.evaluate("location.origin")
        assert {one for one, _ in loaded} <= {origin, guest or origin}, f"{page.url}: {loaded}"
        assert 0 < sum(size for one, size in loaded if one == origin) <= MOST_BYTES, f"{page.url}: {loaded}"

    def _shoot(self, page: Page, manner: str) -> None:
        folder = SHOTS / self.language
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{self.name}-{self._looks:02}-{manner}.png", full_page=True)

    def heard(self) -> list[list[str]]:
        """What the app was told, at least one message."""
        found: list[list[str]] = wait_for(lambda: self.page.evaluate("window.heard"), what="a message to the app")
        return found


def new_context(chromium: Browser, language: str = DEFAULT_LANGUAGE, **more: Any) -> BrowserContext:
    # The captcha's provider has a certificate of nobody.
    return chromium.new_context(ignore_https_errors=True, viewport=PHONE, locale=f"{language}-US", **more)
