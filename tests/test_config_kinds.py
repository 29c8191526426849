"""A new setting is declared in one place: reading, checking and the reference find it by its annotation."""

import re
import tomllib
from pathlib import Path
from typing import Annotated

import pytest

from threepid.config import Config, ConfigError, check
from threepid.config.load import convert
from threepid.config.reference import all_settings, example
from threepid.config.section import (
    AuthoritiesFile,
    DatabaseUrl,
    Example,
    Folder,
    ListenAddress,
    NewFolder,
    PublicFile,
    SecretFile,
    Section,
)
from world import settings


class Inner(Section, frozen=True):
    """`[throwaway.inner]`: a table in a table."""

    secret: SecretFile
    """The secret of the inner table."""


class ByFile(Section, frozen=True, tag_field="way", tag="file"):
    """A way whose key is a path."""

    key: SecretFile = ""
    """A file that holds the key."""


class ByText(Section, frozen=True, tag_field="way", tag="text"):
    """A way whose key is a text."""

    key: str = ""
    """The key itself."""


class Throwaway(Section, frozen=True, kw_only=True):
    """`[throwaway]`: one setting of each kind."""

    secret: SecretFile = ""
    """A secret."""
    public: PublicFile = ""
    """A list that anybody may read."""
    authorities: AuthoritiesFile = ""
    """Certificate authorities."""
    folder: Folder = ""
    """A folder that exists."""
    folders: tuple[Folder, ...] = ()
    """Folders that exist."""
    made: NewFolder = ""
    """A folder that the server makes."""
    url: DatabaseUrl = ""
    """Another database."""
    listen: ListenAddress = ""
    """Another listener."""
    text: str = ""
    """A text that looks like a path."""
    needed: Annotated[PublicFile, Example('"needed.txt"')]
    """A file that must be named."""
    inner: Inner | None = None
    """A table."""
    ways: tuple[ByFile | ByText, ...] = ()
    """Tables of two sorts."""


class WithThrowaway(Config, frozen=True):
    """The whole file, and one table more."""

    throwaway: Throwaway | None = None


def read(tmp_path: Path, text: str) -> WithThrowaway:
    text = f"[throwaway]\nneeded = 'needed.txt'\n{text}"
    return convert(tomllib.loads(text), tmp_path, WithThrowaway)


def test_every_path_is_read_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    made = read(
        tmp_path,
        """
        secret = "a"
        public = "/b"
        authorities = "c"
        folder = "d"
        folders = ["e", "/f"]
        made = "g"
        url = "sqlite:h"
        listen = "unix:i"
        text = "j"
        inner = { secret = "k" }
        ways = [{ way = "file", key = "l" }, { way = "text", key = "m" }]
        """,
    )
    here = str(tmp_path)
    assert made.throwaway == Throwaway(
        needed=f"{here}/needed.txt",
        secret=f"{here}/a",
        public="/b",
        authorities=f"{here}/c",
        folder=f"{here}/d",
        folders=(f"{here}/e", "/f"),
        made=f"{here}/g",
        url=f"sqlite:{here}/h",
        listen=f"unix:{here}/i",
        text="j",
        inner=Inner(secret=f"{here}/k"),
        ways=(ByFile(key=f"{here}/l"), ByText(key="m")),
    )


@pytest.mark.parametrize("text", ['url = "postgresql://h"', 'url = "sqlite::memory:"', 'listen = "[::1]:80"', 'secret = ""'])  # fmt: skip
def test_what_is_no_path_is_read_as_it_is(tmp_path: Path, text: str) -> None:
    made = read(tmp_path, text).throwaway
    key, value = next(iter(tomllib.loads(text).items()))
    assert getattr(made, key) == value


def test_a_wrong_value_is_named_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("[throwaway] folders[0]: must be text in quotes")):
        read(tmp_path, "folders = [1]")
    with pytest.raises(ConfigError, match=re.escape("[throwaway] folds: there is no such setting; did you mean")):
        read(tmp_path, "folds = 1")


def checked(tmp_path: Path, text: str) -> list[str]:
    """The problems of the throwaway table, without the name of the folder that it is in."""
    (tmp_path / "needed.txt").touch()
    rest = settings(tmp_path)
    with_it = WithThrowaway(
        server=rest.server,
        accounts=rest.accounts,
        identity=rest.identity,
        throwaway=read(tmp_path, text).throwaway,
    )
    found = [str(problem) for problem in check(with_it)]
    return [problem.replace(f"{tmp_path}/", "") for problem in found if problem.startswith("[throwaway]")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("secret = 'open'", "secret: everybody can read open: chmod 600 open."),
        ("secret = 'nothing'", "secret: there is no file nothing "),
        ("public = 'nothing'", "public: there is no file nothing "),
        ("authorities = 'open'", "authorities: open holds no certificates in PEM form"),
        ("folder = 'open'", "folder: there is no folder open"),
        ("folders = ['there', 'nothing']", "folders: there is no folder nothing"),
        ("inner = { secret = 'open' }", "inner.secret: everybody can read open: "),
        ("ways = [{ way = 'text' }, { way = 'file', key = 'open' }]", "ways[1].key: everybody can read open: "),
    ],
)
def test_a_path_is_checked_as_its_annotation_says(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "there").mkdir()
    (found,) = checked(tmp_path, text)
    assert found.startswith(f"[throwaway] {problem}")


def test_paths_that_can_be_used_are_no_problem(tmp_path: Path) -> None:
    (tmp_path / "closed").write_text("x")
    (tmp_path / "closed").chmod(0o600)
    (tmp_path / "there").mkdir()
    paths = (
        "secret = 'closed'\npublic = 'closed'\nfolder = 'there'\nmade = 'nothing'\ntext = 'nothing'\nurl = 'sqlite:x'\n"
    )
    assert checked(tmp_path, paths) == []


def test_the_reference_says_what_each_setting_names() -> None:
    found = {f"{one.table}.{one.key}": one for one in all_settings(WithThrowaway) if one.table.startswith("throwaway")}
    assert {name.removeprefix("throwaway."): one.type for name, one in found.items()} == {
        "secret": "secret file",
        "public": "file",
        "authorities": "file",
        "folder": "folder",
        "folders": "list of folders",
        "made": "folder",
        "url": "text",
        "listen": "text",
        "text": "text",
        "needed": "file",
        "inner.secret": "secret file",
        "ways": "list of ways",
    }
    assert found["throwaway.folders"].sentence == "Folders that exist."


def test_the_example_file_has_the_new_table() -> None:
    text = example(WithThrowaway)
    assert '\n# `[throwaway]`: one setting of each kind.\n# A secret.\n# throwaway.secret = ""\n' in text  # fmt: skip
    assert '\n# A file that must be named.\n# throwaway.needed = "needed.txt"\n' in text  # fmt: skip
    assert '\n# throwaway.inner.secret = "…"\n' in text  # fmt: skip
