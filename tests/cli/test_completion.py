"""The shells complete commands, options and values, those of commands that are imported only when called, too."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SMS = Path(sys.executable).with_name("sms")
ASK_BASH = """
eval "$SCRIPT"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_sms_completion sms
printf '%s\\n' "${COMPREPLY[@]}"
"""
HOUSE = {f"house.{name}" for name in ("workers", "releases", "beat", "waiting", "account", "circuits", "unconfirmed")}
HOUSE |= {"house.callbacks", "house.refused"}
LINES = [
    pytest.param("sms un", {"unconfirmed", "unblock"}, id="a command"),
    pytest.param("sms list --re", {"--request-id", "--reveal"}, id="an option"),
    pytest.param("sms list --state un", {"unconfirmed", "unknown"}, id="a state"),
    pytest.param("sms list --lane ", {"otp", "normal", "bulk"}, id="a lane"),
    pytest.param("sms send 998901234567 Hello --lane b", {"bulk"}, id="behind arguments"),
    pytest.param("sms doctor --only ho", {"house"} | HOUSE, id="a check"),
    pytest.param("sms unconfirmed ", {"resend", "drop"}, id="a command of a command"),
    pytest.param("sms unconfirmed drop --rea", {"--reason"}, id="its option"),
]


def run(*words: str, **env: str) -> str:
    path = f"{SMS.parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PATH": path, **env}, check=False)
    assert not ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def bash_script() -> str:
    return run(str(SMS), "completion", "bash")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(("line", "completed"), LINES)
def test_bash_completes(bash_script: str, line: str, completed: set[str]) -> None:
    out = run("bash", "-c", ASK_BASH, "bash", *line.split(" "), SCRIPT=bash_script)

    assert set(out.split()) == completed


@pytest.mark.parametrize(("line", "completed"), [LINES[0], LINES[2], LINES[-1]])
def test_zsh_is_told_the_same(line: str, completed: set[str]) -> None:
    out = run(str(SMS), _SMS_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)

    assert {word for word in completed if f'"{word}"' in out} == completed


@pytest.mark.parametrize(("line", "completed"), [LINES[0], LINES[2], LINES[-1]])
def test_fish_is_told_the_same(line: str, completed: set[str]) -> None:
    asked = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": line}

    out = run(str(SMS), _SMS_COMPLETE="complete_fish", **asked)

    assert {one.split("\t")[0] for one in out.splitlines()} >= completed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    script = run(str(SMS), "completion", shell)

    assert f"complete_{shell}" in script
