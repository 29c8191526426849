"""Previews of all messages in all languages, for developers. Served only with the `mailbox` transport."""

from collections.abc import Mapping, Sequence

from threepid.domain import messages
from threepid.domain.mailbox import Preview, Previews
from threepid.http.exchange import Answer, Request
from threepid.i18n import Text
from threepid.i18n.catalogues import direction, own_name
from threepid.web.pages.mailbox import framed
from threepid.web.render import PageRoute, Pages


def routes(languages: Sequence[str], preview: Previews) -> list[PageRoute]:
    """The routes of the previews, of which there is one for each message and each of `languages`."""
    previews = _Previews(languages, preview)
    return [
        PageRoute("/mailbox/preview/", {"GET": previews.list}),
        PageRoute("/mailbox/preview/{name}/{language}", {"GET": previews.show}),
        PageRoute("/mailbox/preview/{name}/{language}/html", {"GET": previews.html}),
    ]


class _Previews:
    def __init__(self, languages: Sequence[str], preview: Previews) -> None:
        self._languages = [(tag, own_name(tag)) for tag in languages]
        self._names = [example.template for example in messages.EXAMPLES]
        self._preview = preview

    async def list(self, pages: Pages, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """List all messages, with links to each of their languages."""
        shown = list(self._preview([pages.language], self._names))
        return pages.page("previews.html", previews=shown, tags=self._languages)

    async def show(self, pages: Pages, _request: Request, variables: Mapping[str, str]) -> Answer:
        """Show one message in one language."""
        preview = self._find(variables)
        if preview is None:
            return self._gone(pages)
        index = self._names.index(preview.name)
        return pages.page(
            "preview.html",
            preview=preview,
            tags=self._languages,
            direction_of_message=direction(preview.language),
            following=self._names[(index + 1) % len(self._names)],
            allow={"frame-src": "'self'"},
        )

    async def html(self, pages: Pages, _request: Request, variables: Mapping[str, str]) -> Answer:
        """The HTML part, for the frame on the preview's page."""
        preview = self._find(variables)
        return self._gone(pages) if preview is None else framed(preview.html)

    def _find(self, variables: Mapping[str, str]) -> Preview | None:
        name, language = variables["name"], variables["language"]
        if name not in self._names or language not in dict(self._languages):
            return None
        return next(self._preview([language], [name]))

    @staticmethod
    def _gone(pages: Pages) -> Answer:
        return pages.message(Text("Page not found"), Text("Check the address."), status=404, way_on=True)
