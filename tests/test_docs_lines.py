"""Every command line and every piece of configuration in the documentation can be copied as it stands."""

import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import typer

from threepid import config
from threepid.cli import app
from threepid.config.mistakes import mistakes

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = [
    *sorted((ROOT / "src").rglob("*.py")),
    *(file for file in sorted((ROOT / "deploy").rglob("*")) if file.is_file()),
]
FENCED = re.compile(r"^( *)```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
UNFINISHED = ("Missing argument", "Missing option", "requires an argument")
"""What may be missing where a text only names a command."""
COMMANDS = typer.main.get_command(app)


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


def complaint(words: list[str]) -> str:
    """What the command line says of these words before it does anything; empty for nothing."""
    command, above, name = COMMANDS, None, "threepid"
    while known := getattr(command, "commands", None):
        if not words or words in (["--version"], ["--help"]):
            return ""
        above = command.make_context(name, [], parent=above, resilient_parsing=True)
        name, *words = words
        if name not in known:
            return f"no command {name}"
        command = known[name]
    try:
        command.make_context(name, words, parent=above)
    except typer.TyperException as error:
        return str(error.format_message())
    return ""


def split(text: str) -> list[str]:
    """The arguments of a command up to a pipe, a redirection or a comment."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words = list(lexer)
    end = next((place for place, word in enumerate(words) if word[0] in "|&;<>"), len(words))
    return words[:end]


def lines(text: str) -> Iterator[str]:
    """The command lines of `threepid` in fenced blocks, without the name of the program."""
    for _, info, body in FENCED.findall(text):
        if info.partition(" ")[0] in ("sh", "console", ""):
            for line in textwrap.dedent(body).replace("\\\n", " ").splitlines():
                if found := re.search(
                    r"(?:^|(?<=[ =$]))(?:[\w./]*/bin/)?threepid ((?!unix |argv=|--property=)[a-z-].*)", line
                ):
                    yield found[1].removeprefix("-- threepid ")


def spans(text: str) -> Iterator[str]:
    """The commands in backticks, without the name of the program."""
    for span in re.findall(r"`([^`\n]+)`", FENCED.sub("", text)):
        if found := re.match(r"(?:(?:runuser -u threepid -- )?(?:[\w./]*/bin/)?threepid) ([a-z-][^…]*)", span):
            yield found[1].removeprefix("-- ")


def test_every_command_line_in_a_block_is_accepted() -> None:
    found = [(named(page), line) for page in PAGES for line in lines(page.read_text(encoding="utf-8"))]
    assert len(found) > 15
    wrong = [
        (page, line, told) for page, line in found if not line.startswith("-o cat") and (told := complaint(split(line)))
    ]
    assert wrong == []


def test_every_command_that_a_page_names_exists_with_its_options() -> None:
    found = [(named(page), span) for page in PAGES for span in spans(page.read_text(encoding="utf-8"))]
    assert len(found) > 150
    wrong = [
        (page, span, told)
        for page, span in found
        if (told := complaint(split(span))) and not any(one in told for one in UNFINISHED)
    ]
    assert wrong == []


def test_every_command_that_a_message_or_file_names_exists_with_its_options() -> None:
    found = [(named(file), span) for file in TEXTS for span in spans(file.read_text(encoding="utf-8"))]
    assert len(found) > 30
    wrong = [
        (file, span, told)
        for file, span in found
        if "{" not in span and (told := complaint(split(span))) and not any(one in told for one in UNFINISHED)
    ]
    assert wrong == []


def wrong_in(piece: str) -> list[str]:
    """What the server would say of this piece of its configuration, except that other settings are missing."""
    try:
        found = mistakes(tomllib.loads(piece), config.Config)
    except tomllib.TOMLDecodeError as error:
        return [str(error)]
    return [one.sentence for one in found if not one.sentence.endswith("is missing")]


def test_every_piece_of_configuration_is_toml_of_settings_that_exist() -> None:
    pieces = [
        (named(page), textwrap.dedent(body))
        for page in PAGES
        for _, info, body in FENCED.findall(page.read_text(encoding="utf-8"))
        if info.partition(" ")[0] == "toml"
    ]
    assert len(pieces) > 12
    assert [(page, piece, wrong) for page, piece in pieces if (wrong := wrong_in(piece))] == []


def test_a_wrong_line_would_be_noticed() -> None:
    assert complaint(["config", "check", "--offlin"])
    assert complaint(["nothing"]) == "no command nothing"
    assert complaint(["message", "send"]) == "no command send"
    assert complaint(["serve", "--workers", "many"])
    assert complaint(["config", "check", "--offline", "--config", "/nothing/here"]) == ""
    assert wrong_in('[server]\nnam = "example.org"\n')
    assert wrong_in('via = [{ transport = "smtp",\n host = "relay.example.org" }]\n')
