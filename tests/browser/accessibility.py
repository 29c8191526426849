"""axe-core looks at a page, as it is in the browser. https://github.com/dequelabs/axe-core."""

from functools import cache
from pathlib import Path
from typing import Final

from playwright.sync_api import Page

import npm

FOLDER: Final = Path(__file__).parent / "axe_core"
RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
LOOK: Final = """
async (rules) => {
  const { violations } = await axe.run(document, { runOnly: rules, resultTypes: ["violations"], iframes: false, preload: false });
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}: ${node.failureSummary}`));
}
"""


@cache
def _axe() -> str:
    npm.install(FOLDER)
    return (FOLDER / "node_modules" / "axe-core" / "axe.min.js").read_text()


def violations(page: Page) -> list[str]:
    """Which rules the page breaks, and where. It needs JavaScript."""
    # The page's policy forbids a script from elsewhere, and does not bind what the browser's debugger evaluates.
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe())
    found: list[str] = page.evaluate(LOOK, list(RULES))
    return found
