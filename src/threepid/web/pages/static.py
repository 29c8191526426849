"""The styles, scripts and images of the pages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from threepid.config import Config
from threepid.http.exchange import Answer, Headers, Request, Route
from threepid.web.brand import BrandFolder

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
_OWN: Final = Path(__file__).parent.parent / "static"


def routes(config: Config) -> list[Route]:
    """The route of each file in `web/static`, and of the operator's logo, favicon and colours."""
    files = {path.name: path for path in (*_OWN.iterdir(), *BrandFolder(config.web.brand_folder).files())}
    return [
        Route(f"/static/{name}", {"GET": _File(path.read_bytes(), _TYPES[path.suffix]).get}, names={"GET": "static"})
        for name, path in files.items()
        if path.is_file()
    ]


class _File:
    def __init__(self, text: bytes, content_type: str) -> None:
        self._answer = Answer(
            200,
            text,
            content_type=content_type,
            headers=Headers(
                ("Cache-Control", "max-age=300"),
                ("X-Content-Type-Options", "nosniff"),
                # A browser that opens an SVG by itself would run the scripts in it.
                ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
            ),
        )

    async def get(self, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """The file."""
        return self._answer
