"""A window of the browser, and an app on another site that opens pages in it."""

from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize

from rig import wait_for

APP = "https://app.example/"
OPENER = """<!doctype html><title>app</title><h1>The app</h1><script>
window.heard = [];
window.addEventListener("message", (event) => window.heard.push([event.origin, event.data]));
</script><button onclick="window.open(this.dataset.url)">Go on in the browser</button>"""
PHONE: ViewportSize = {"width": 390, "height": 844}
NARROWEST = 320
"""What a page must fit into: https://www.w3.org/TR/WCAG22/#reflow."""


CONTRAST = """
() => {
  const channels = (color) => color.match(/[0-9.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = channels(color).map((one) => (one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if (channels(color)[3] !== 0) {
        return color;
      }
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!text || !element.checkVisibility()) {
      continue;
    }
    const [front, back] = [light(getComputedStyle(element).color), light(behind(element))];
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (ratio < 4.5) {
      found.push(`${element.tagName} "${element.textContent.trim()}" ${ratio.toFixed(2)}`);
    }
  }
  return found;
}
"""
"""Texts that stand out too little from what is behind them. https://www.w3.org/TR/WCAG22/#contrast-minimum."""
UNNAMED = """
() => [...document.querySelectorAll("input:not([type=hidden]), select, button")]
  .filter((one) => one.checkVisibility() && !(one.labels?.length || one.textContent.trim()))
  .map((one) => one.outerHTML)
"""
"""Fields and buttons that nobody can name who does not see the page."""


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


class Window:
    """A window of the browser, in which nothing may go wrong unseen."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.trouble: list[str] = []
        context.on("console", self._note)
        context.on("weberror", lambda error: self.trouble.append(str(error.error)))
        context.route(APP, lambda route: route.fulfill(body=OPENER, content_type="text/html"))
        self.page = context.new_page()

    def _note(self, message: ConsoleMessage) -> None:
        # That a refused form answers with a status of its own is no mishap; a blocked script or style is.
        if message.type in {"error", "warning"} and "server responded with a status of 4" not in message.text:
            self.trouble.append(message.text)

    def open_from_app(self, url: str) -> Page:
        """The popup that an app on another site opens."""
        self.page.goto(APP)
        self.page.eval_on_selector("button", "(button, url) => { button.dataset.url = url; }", url)
        with self.page.expect_popup() as popup:
            self.page.get_by_role("button").click()
        popup.value.wait_for_load_state()
        return popup.value

    def check_looks(self, page: Page) -> None:
        """Can it be read and reached: on narrow screens, in dark and light, by all who come?"""
        page.wait_for_load_state()  # with its styles
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert (faint := page.evaluate(CONTRAST)) == [], faint
        for width in (NARROWEST, PHONE["width"]):
            page.set_viewport_size({**PHONE, "width": width})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{page.url} at {width}"
        assert page.evaluate(UNNAMED) == []
        assert page.evaluate(DANGLING) == []
        assert page.locator("h1").count() == page.locator("main").count() == 1
        assert page.evaluate("document.documentElement.lang") == "en"

    def heard(self) -> list[list[str]]:
        """What the app was told, at least one message."""
        found: list[list[str]] = wait_for(lambda: self.page.evaluate("window.heard"), what="a message to the app")
        return found


def new_context(chromium: Browser, **more: Any) -> BrowserContext:
    # The captcha's provider has a certificate of nobody.
    return chromium.new_context(ignore_https_errors=True, viewport=PHONE, **more)
