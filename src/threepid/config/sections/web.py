"""`[web]`: its settings, and the rules that reject unsafe values."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from threepid.config.permissions import why_changeable
from threepid.config.problem import Problem, is_web_url
from threepid.config.section import Folder, Section
from threepid.i18n import catalogues

_EMAIL: Final = re.compile(r"[0-9A-Za-z.!#$*+/=^_`{|}~-]+@[0-9A-Za-z.-]+")
_MAILTO: Final = "mailto:"


class Web(Section, frozen=True):
    """`[web]`: pages and mails for people."""

    link_confirms: Literal["button", "get"] = "button"
    """Way in which a mailed link confirms: by a button on its page, or at once (`get`), even if a mail scanner opens it."""
    brand_name: str = ""
    """Name of the server in pages and mails; empty = the server name."""
    languages: tuple[str, ...] = ()
    """Languages of pages and messages, as tags such as `de` or `pt-BR`; empty = all that there are."""
    default_language: str = ""
    """Language of pages and messages for people who have chosen none, and whose browser or app asks for none of `languages`;
    empty = English or, if that is not offered, the first of `languages`."""
    contact: str = ""
    """Email address or https URL of the people who run the server, for pages, mails and `/.well-known/matrix/support`;
    empty = not told."""
    terms_url: str = ""
    """URL of the terms of service, for the footer of pages; empty = no link."""
    privacy_url: str = ""
    """URL of the privacy policy, for the footer of pages; empty = no link."""
    next_link_hosts: tuple[str, ...] = ()
    """Hosts that `next_link` may lead to; empty = none, and pages show the target as plain text."""
    next_link_schemes: tuple[str, ...] = ()
    """Further URL schemes (of apps) that `next_link` may have; empty = none."""
    brand_dir: Folder = ""
    """Folder with the logo, the colours and the templates that replace the built-in ones, read at the start; empty = none."""
    template_dir: Folder = ""
    """Former name of `brand_dir`, deprecated; empty = none."""

    @property
    def brand_folder(self) -> str:
        """The folder of `brand_dir`, under either name; '' for none."""
        return self.brand_dir or self.template_dir

    @property
    def contact_name(self) -> str:
        """`contact` as people read it: without `mailto:`."""
        return self.contact.removeprefix(_MAILTO)

    @property
    def contact_email(self) -> str:
        """The email address of `contact`, '' if it is a URL."""
        return "" if is_web_url(self.contact) else self.contact_name

    @property
    def contact_url(self) -> str:
        """The URL of `contact`, `mailto:` for an email address; '' for none."""
        return f"{_MAILTO}{self.contact_email}" if self.contact_email else self.contact


def problems(web: Web) -> Iterator[Problem]:
    """Yield the unsafe values in `[web]`."""
    if unknown := [tag for tag in web.languages if tag not in catalogues.languages()]:
        known = ", ".join(catalogues.languages())
        yield Problem("[web] languages", f"there is no language {unknown[0]!r}: choose from {known}")
    offered = web.languages or catalogues.languages()
    if web.default_language and web.default_language not in offered:
        yield Problem(
            "[web] default_language",
            f"{web.default_language!r} is none of the languages that are offered: choose from {', '.join(offered)}",
        )
    if web.contact and not is_web_url(web.contact) and not _EMAIL.fullmatch(web.contact_name):
        yield Problem("[web] contact", f"{web.contact!r} is neither an email address nor an https URL")
    for key in ("terms_url", "privacy_url"):
        if getattr(web, key) and not is_web_url(getattr(web, key)):
            yield Problem(f"[web] {key}", "is not an https URL")
    if web.brand_dir and web.template_dir:
        yield Problem("[web] template_dir", "is the former name of brand_dir: set only brand_dir")
        return
    root = Path(web.brand_folder)
    if web.brand_folder and root.is_dir():
        troubles = (why_changeable(path) for path in _tree(root))
        if first := next(filter(None, troubles), None):  # a folder that others can change exposes everything in it
            yield Problem(f"[web] {'brand_dir' if web.brand_dir else 'template_dir'}", first)


def warnings(web: Web) -> Iterator[Problem]:
    """Yield the settings that should be changed some day."""
    if web.template_dir:
        yield Problem("[web] template_dir", "is deprecated: the folder's new name is brand_dir")


def _tree(root: Path) -> Iterator[Path]:
    """`root` and everything in it."""
    yield root
    for folder, folders, names in os.walk(root):
        yield from (Path(folder) / name for name in [*folders, *names])
