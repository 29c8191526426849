"""`[web]`: its settings, and the rules that reject unsafe values."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from threepid.config.permissions import why_changeable
from threepid.config.problem import Problem
from threepid.config.section import Folder, Section


class Web(Section, frozen=True):
    """`[web]`: pages and mails for people."""

    link_confirms: Literal["button", "get"] = "button"
    """Way in which a mailed link confirms: by a button on its page, or at once (`get`), even if a mail scanner opens it."""
    brand_name: str = ""
    """Name of the server in pages and mails; empty = the server name."""
    next_link_hosts: tuple[str, ...] = ()
    """Hosts that `next_link` may lead to; empty = none, and pages show the target as plain text."""
    next_link_schemes: tuple[str, ...] = ()
    """Further URL schemes (of apps) that `next_link` may have; empty = none."""
    template_dir: Folder = ""
    """Folder of message templates that replace the built-in ones, read at the start; empty = none."""


def problems(web: Web) -> Iterator[Problem]:
    """Yield the unsafe values in `[web]`."""
    root = Path(web.template_dir)
    if web.template_dir and root.is_dir():
        troubles = (why_changeable(path) for path in _tree(root))
        if first := next(filter(None, troubles), None):  # a folder that others can change exposes everything in it
            yield Problem("[web] template_dir", first)


def _tree(root: Path) -> Iterator[Path]:
    """`root` and everything in it."""
    yield root
    for folder, folders, names in os.walk(root):
        yield from (Path(folder) / name for name in [*folders, *names])
