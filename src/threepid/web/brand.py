"""The operator's folder `web.brand_dir`: logo, colours, and templates of pages that replace the built-in ones.

Everything is read at the start. `docs/guides/branding.md` describes the folder.
"""

from pathlib import Path
from typing import Final

import jinja2

from threepid.config import ConfigError

_LOGOS: Final = ("logo.svg", "logo.png", "logo.webp", "logo.jpg")
_FAVICON: Final = "favicon.svg"
_COLOURS: Final = "colours.css"


class BrandFolder:
    """The operator's folder."""

    def __init__(self, folder: str) -> None:
        """`folder` is '' for none."""
        self._root = Path(folder) if folder else None
        self.pages = [self._root / "pages"] if self._root is not None else []
        """The folder of the templates, if any."""
        self.logo = next((f"/static/{name}" for name in _LOGOS if self._has(name)), "")
        """The path of the logo, '' for none."""
        self.colours = f"/static/{_COLOURS}" if self._has(_COLOURS) else ""
        """The path of the style sheet with the colours, '' for none."""

    def files(self) -> list[Path]:
        """The files that the server serves below `/static/`."""
        names = (*_LOGOS, _FAVICON, _COLOURS)
        return [self._root / name for name in names if self._root is not None and self._has(name)]

    def check(self, environment: jinja2.Environment) -> None:
        """Compile the folder's templates. Raises ConfigError for one that is broken, or that replaces none of ours."""
        for folder in self.pages:
            for path in sorted(folder.rglob("*.html")):
                name = path.relative_to(folder).as_posix()
                if not (Path(__file__).parent / "templates" / name).is_file():
                    raise ConfigError(f"{path}: there is no page template {name} to replace")
                try:
                    environment.from_string(path.read_text(encoding="utf-8"))
                except (jinja2.TemplateError, OSError, ValueError) as error:
                    raise ConfigError(f"{path}: {type(error).__name__}: {error}") from None

    def _has(self, name: str) -> bool:
        return self._root is not None and (self._root / name).is_file()
