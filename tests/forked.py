"""Many command lines in one process that has imported the program once: each runs in a fork of it.

`python forked.py` reads a JSON list of argument lists from standard input and prints a JSON list of results. It has no threads, so
that a fork is safe.
"""

import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Done(NamedTuple):
    """What became of a command."""

    status: int
    out: str
    err: str


def forked(cases: Sequence[Sequence[str]], *, cwd: Path, **environment: str) -> list[Done]:
    """The results of `threepid …`, with nothing on standard input."""
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=600,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
    )
    assert done.returncode == 0, done.stderr
    return [Done(*one) for one in json.loads(done.stdout)]


def _one(arguments: list[str]) -> tuple[int, str, str]:
    from threepid.cli import main

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115 - as long as the process lives
            sys.argv = ["threepid", *arguments]
            status = 99
            try:
                main()
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0 if end.code is None else 98
            except BaseException as error:  # noqa: BLE001 - the parent shows it
                print(f"Traceback of {type(error).__name__}: {error}", file=sys.stderr)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, ended = os.waitpid(child, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "backslashreplace"))
    return os.waitstatus_to_exitcode(ended), texts[0], texts[1]


def _import_everything() -> None:
    """Import whatever a command imports later: otherwise each fork does it again, which takes longer than the command."""
    import threepid.cli

    for module in pkgutil.walk_packages(threepid.__path__, "threepid."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    # Typer has imports of its own in its first command line.
    sys.argv = ["threepid", "nosuch"]
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        threepid.cli.main()


if __name__ == "__main__":
    _import_everything()
    gc.freeze()
    print(json.dumps([_one(case) for case in json.load(sys.stdin)]))
