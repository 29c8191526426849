"""A119: a homeserver.yaml that runs code, fills the memory, or names a database that is none."""

import os
from pathlib import Path

import pytest

from threepid.importers.source import SourceError, open_source
from threepid.importers.synapse import configuration

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 40))


@pytest.mark.parametrize(
    "text",
    [
        '!!python/object/apply:os.system ["touch harmed"]',
        'server_name: !!python/object/new:os.system ["touch harmed"]',
        "[" * 100_000,
        "{a: " * 50_000,
        "- a\n- b\n",
        "text",
        "",
        "\0",
        "\t: [",
        "a: 'SECRET\n",
        "a: 2026-99-99",
        "&a [*a, *b]",
        "server_name: [example.org]\n",
        "server_name: ''\n",
        "server_name: example.org\n",
        "server_name: example.org\ndatabase: sqlite3\n",
        "server_name: example.org\ndatabase: {name: sqlite3, args: {database: [x]}}\n",
        "server_name: example.org\ndatabase: {name: mysql, args: {database: x}}\n",
        "server_name: example.org\npassword_config: {pepper: 12345}\ndatabase: {name: sqlite3, args: {database: x}}\n",
        "matrix_authentication_service: {enabled: true}\nserver_name: example.org\ndatabase: {name: sqlite3, args: {database: x}}\n",
        "experimental_features: {msc3861: {enabled: true}}\nserver_name: example.org\n",
    ],
    ids=range(21),
)
def test_A119_such_a_file_is_refused_with_a_sentence(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeserver.yaml").write_text(text)
    with pytest.raises(SourceError) as caught:
        configuration.read([tmp_path / "homeserver.yaml"])
    assert "SECRET" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not (tmp_path / "harmed").exists()


def test_A119_a_large_file_and_a_binary_one(tmp_path: Path) -> None:
    for name, data in (
        ("large", b"# " + b"x" * 5_000_000),
        ("binary", os.urandom(1000)),
        ("utf16", "a: b".encode("utf-16")),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError):
            configuration.read([tmp_path / name])


def test_A119_references_that_multiply_take_no_memory(tmp_path: Path) -> None:
    (tmp_path / "homeserver.yaml").write_text(
        LAUGHS + "server_name: example.org\ndatabase: {name: sqlite3, args: {database: x}}\n"
    )
    assert configuration.read([tmp_path / "homeserver.yaml"]).database == "sqlite:x"


@pytest.mark.parametrize(
    "url", ["sqlite:", "mysql://x", "file:x", "", "x", "sqlite:/nowhere/at/all", "sqlite:/", "sqlite:/dev/null"]
)
def test_A119_a_url_that_names_no_database(url: str) -> None:
    with pytest.raises(SourceError):
        open_source(url)
