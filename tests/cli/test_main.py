"""The console command as a whole."""

import importlib
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from worker.cli.main import COMMANDS, NAMES, main

Sms = Callable[..., Any]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_of_the_list_is_there(name: str) -> None:
    module = NAMES.get(name, name)

    assert callable(getattr(importlib.import_module(f"worker.cli.{module}"), module))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["unconfirmed", "--since", "today"], "sms: --since 'today' is no time", id="wrong input"),
        pytest.param(["pause", "--as", "\udcff"], "sms: The word 3 of the command line is not UTF-8", id="broken word"),
    ],
)
@pytest.mark.usefixtures("house")
def test_an_error_of_ours_is_one_line_and_exit_code_2(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sms", *words])

    with pytest.raises(SystemExit) as left:
        main()

    written = capsys.readouterr()
    assert (left.value.code, written.out) == (2, "")
    assert written.err.startswith(said)
    assert written.err.count("\n") == 1


def test_the_release_is_said(sms: Sms) -> None:
    assert sms("--version") == (0, f"sms {version('getsms-worker')}\n", "")


@pytest.mark.parametrize("words", [["export", "--state", "delivred"], ["export", "--lane", "x"]], ids=["state", "lane"])
def test_a_wrong_choice_is_told_what_there_is_to_choose(sms: Sms, words: list[str]) -> None:
    answer = sms(*words)

    assert answer.code == 2
    assert "is not one of" in answer.err
    assert "Value error" not in answer.err


def test_a_question_that_nobody_answers_tells_how_not_to_be_asked(sms: Sms, tmp_path: Path) -> None:
    (tmp_path / "clients.csv").write_text("phone\n901234567\n", encoding="utf-8")

    answer = sms("import", "clients.csv", "--template", "Salom")

    assert answer.code == 1
    assert answer.err == "\nNothing was changed: nobody answered. Where nobody can, give --yes, which does not ask.\n"


@pytest.mark.parametrize("words", [["cancel"], ["ask"], ["callbacks"], ["callbacks", "retry"], ["up"]], ids=" ".join)
def test_the_help_is_as_wide_as_the_terminal(sms: Sms, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setenv("COLUMNS", "400")

    help_of = sms(*words, "--help").out.partition("╭")[0]

    assert not [line for line in help_of.splitlines()[3:] if line.strip() and not line.rstrip().endswith(".")]
