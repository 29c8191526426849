"""`threepid completion`."""

import os
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated, Final

import typer
from typer import completion

from threepid.cli.common import out

PROGRAM: Final = "threepid"
_ASKED: Final = "_THREEPID_COMPLETE"
"""The variable by which the script of a shell asks this program for completions."""


_BASH: Final = """
_threepid_completion() {
    local IFS=$'\\n' words=() word
    # bash splits words at each colon, but a scope is one word.
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ ${#words[@]} -gt 0 && ( $word == : || ${words[-1]} == *: ) ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
    COMPREPLY=( $( env COMP_WORDS="${words[*]}" \\
                   COMP_CWORD=$((${#words[@]} - 1)) \\
                   _THREEPID_COMPLETE=complete_bash $1 ) )
    # bash puts the completion after the last colon.
    word=${words[-1]}
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
    fi
}

complete -o default -F _threepid_completion threepid
""".strip()
"""The script of Typer, and what it leaves to others: colons in words."""


class Shell(StrEnum):
    """A shell that can complete commands by a script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def print_script(shell: Annotated[Shell, typer.Argument(help="The shell.")]) -> None:
    """Print the script by which a shell completes commands and options of threepid."""
    if shell is Shell.BASH:
        out.print(_BASH, markup=False)
        return
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


def offer(find: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """The completion of an option whose values are fixed: those that begin as what was typed."""

    def complete(incomplete: str) -> list[str]:
        return [str(value) for value in find() if value.startswith(incomplete)]

    return complete


def events() -> list[str]:
    """What the audit log and its sums call events."""
    from threepid.domain.audit import Event  # noqa: PLC0415 - see serving.py
    from threepid.domain.sums import Kind  # noqa: PLC0415 - see serving.py

    return [*Event, *Kind]


def messages() -> list[str]:
    """The names of all messages."""
    from threepid.domain.messages import EXAMPLES  # noqa: PLC0415 - see serving.py

    return [example.template for example in EXAMPLES]


def languages() -> list[str]:
    """The tags of all languages."""
    from threepid.i18n import catalogues  # noqa: PLC0415 - see serving.py

    return list(catalogues.languages())


def scopes() -> list[str]:
    """All scopes of operator tokens."""
    from threepid.spec.operator_scopes import Scope  # noqa: PLC0415 - see serving.py

    return list(Scope)
