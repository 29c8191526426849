"""What commands print of the texts of strangers: as JSON, it says the same and holds no terminal codes."""

import json

import pytest

from threepid.cli.tables import print_json, print_object

HOSTILE = "\x1b]0;x\x07 \x9b31m \x7f \x85 \u2028 \N{RIGHT-TO-LEFT OVERRIDE} \ud800 \U000e0041 \\u0041"


def test_JSON_has_no_terminal_codes_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": HOSTILE, HOSTILE: ["Grüße, 日本 😀"]}
    print_object(value)
    one = capsys.readouterr().out
    print_json([value])
    several = capsys.readouterr().out
    assert json.loads(one) == value
    assert json.loads(several) == [value]
    for said in (one, several):
        assert said.replace("\n", "").isprintable()
        assert "Grüße, 日本 😀" in said
