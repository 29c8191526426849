"""`[web]`: its settings, and what cannot be safe about them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from threepid.config.permissions import why_changeable
from threepid.config.problem import Problem
from threepid.config.section import Folder, Section


class Web(Section, frozen=True):
    """`[web]`: pages for people."""

    link_confirms: Literal["button", "get"] = "button"
    """`get`: opening the mailed link confirms at once; mail scanners then confirm too."""
    brand_name: str = ""
    """The name people see; default: the server name."""
    next_link_hosts: tuple[str, ...] = ()
    """Hosts that `next_link` may lead to; empty = none, the target is shown as text."""
    next_link_schemes: tuple[str, ...] = ()
    """Further URL schemes (of apps) that `next_link` may have."""
    template_dir: Folder = ""
    """A folder of overriding message templates, which are read at the start."""


def problems(web: Web) -> Iterator[Problem]:
    """What cannot be safe in `[web]`."""
    root = Path(web.template_dir)
    if web.template_dir and root.is_dir():
        troubles = (why_changeable(path) for path in _tree(root))
        if first := next(filter(None, troubles), None):  # one folder open to others opens all that is in it
            yield Problem("[web] template_dir", first)


def _tree(root: Path) -> Iterator[Path]:
    """`root` and all that is in it."""
    yield root
    for folder, folders, names in os.walk(root):
        yield from (Path(folder) / name for name in [*folders, *names])
