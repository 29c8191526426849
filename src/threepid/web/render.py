"""Pages out of templates, with the headers that every page has."""

from collections.abc import Mapping
from typing import Any, Final

import jinja2

from threepid.spec.exchange import Answer

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Pages:
    """Renders the templates of `web/templates`."""

    def __init__(self, brand: str) -> None:
        """`brand` is the server's name as people see it."""
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("threepid.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["brand"] = brand

    def page(
        self, template: str, /, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
    ) -> Answer:
        """The page that `template` makes of `values`."""
        html = self._environment.get_template(template).render(**values)
        return Answer(
            status,
            html.encode("utf-8"),
            content_type="text/html; charset=utf-8",
            headers={**HEADERS, **(headers or {})},
        )

    def message(self, title: str, text: str, *, status: int) -> Answer:
        """A page that only says something."""
        return self.page("message.html", status=status, title=title, text=text)


def redirect(target: str) -> Answer:
    """Send the browser to `target`, which the caller has checked."""
    return Answer(303, b"", content_type="text/plain", headers={**HEADERS, "Location": target})
