"""The entry point of the program `threepid` and of `python -m threepid`."""

import sys
from typing import Final

_INTERRUPTED: Final = 130
"""128 and the number of SIGINT: what shells expect of a program that Ctrl-C ended."""


def main() -> None:
    """Run the command line. Ctrl-C ends it with one line and status 130, also while the program is still being loaded."""
    try:
        from threepid.cli import main as run  # noqa: PLC0415 - this takes long enough for a Ctrl-C

        run()
    except KeyboardInterrupt:
        _end()
    except SystemExit as error:
        if error.code != _INTERRUPTED and not _by_keyboard(error):
            raise
        _end(said=error.code == 1)


def _end(*, said: bool = False) -> None:
    """End the program. `said`: Typer has printed a line, because a prompt was interrupted."""
    if not said:
        sys.stderr.write("Interrupted.\n")
    sys.exit(_INTERRUPTED)


def _by_keyboard(error: BaseException) -> bool:
    """Typer turns a Ctrl-C into other exceptions. Is there one at the beginning of these?"""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, KeyboardInterrupt):
        reason = reason.__context__
    return reason is not None


if __name__ == "__main__":
    main()
