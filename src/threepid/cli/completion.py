"""`threepid completion`."""

import os
from enum import StrEnum
from typing import Annotated, Final

import typer
from typer import completion

from threepid.cli.common import out

PROGRAM: Final = "threepid"
_ASKED: Final = "_THREEPID_COMPLETE"
"""The variable by which the script of a shell asks this program for completions."""


class Shell(StrEnum):
    """A shell that can complete commands by a script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def print_script(shell: Annotated[Shell, typer.Argument(help="The shell.")]) -> None:
    """Print the script by which a shell completes commands and options of threepid."""
    script = completion.get_completion_script(  # type: ignore[attr-defined] # Typer has no `__all__`
        prog_name=PROGRAM, complete_var=_ASKED, shell=shell.value
    )
    if shell is Shell.ZSH:
        # zsh runs a file of its `fpath` at the first Tab, which must complete already.
        script += '\n\n[[ $zsh_eval_context[-1] != loadautofunc ]] || _threepid_completion "$@"'
    out.print(script, markup=False)


def prepare() -> None:
    """Make the program answer a shell that asks for completions."""
    if _ASKED in os.environ:
        completion.completion_init()  # type: ignore[attr-defined] # likewise
