"""The styles and scripts of the pages."""

from collections.abc import Mapping
from importlib import resources
from pathlib import PurePath
from typing import Final

from threepid.http.exchange import Answer, Headers, Request, Route

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def routes() -> list[Route]:
    """The route of each file in `web/static`."""
    return [
        Route(f"/static/{file.name}", {"GET": _File(file.read_bytes(), _TYPES[PurePath(file.name).suffix]).get})
        for file in resources.files("threepid.web").joinpath("static").iterdir()
        if file.is_file()
    ]


class _File:
    def __init__(self, text: bytes, content_type: str) -> None:
        self._answer = Answer(
            200,
            text,
            content_type=content_type,
            headers=Headers(("Cache-Control", "max-age=300"), ("X-Content-Type-Options", "nosniff")),
        )

    async def get(self, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """The file."""
        return self._answer
