"""The styles of the pages."""

from collections.abc import Mapping
from importlib import resources

from threepid.spec.exchange import Answer, Request, Route


def routes() -> list[Route]:
    """The route of each file in `web/static`."""
    return [
        Route(f"/static/{file.name}", {"GET": _Style(file.read_bytes()).get})
        for file in resources.files("threepid.web").joinpath("static").iterdir()
        if file.name.endswith(".css")
    ]


class _Style:
    def __init__(self, text: bytes) -> None:
        self._answer = Answer(
            200,
            text,
            content_type="text/css; charset=utf-8",
            headers={"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"},
        )

    async def get(self, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """The file."""
        return self._answer
