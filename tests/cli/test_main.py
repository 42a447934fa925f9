"""The console command as a whole."""

import importlib
import sys

import pytest

from worker.cli.main import COMMANDS, NAMES, main


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
