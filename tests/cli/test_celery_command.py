"""``celery -A worker sms …`` finds the same commands."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from builders import Sessions, stored

CELERY = Path(sys.executable).with_name("celery")


def celery(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CELERY, *words], capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("house")
def test_a_command_of_ours_stands_among_celerys(sessions: Sessions) -> None:
    stored(sessions, uid="u1")

    listed = celery("-A", "worker", "sms", "list", "--json", "--limit", "5")
    wrong = celery("-A", "worker", "sms", "show", "nobody")

    assert (listed.returncode, '"uid": "u1"' in listed.stdout) == (0, True), listed.stderr
    assert (wrong.returncode, wrong.stderr.startswith("sms: There is no message nobody")) == (2, True), wrong.stderr


@pytest.mark.usefixtures("house")
def test_its_help_names_it_as_it_was_called() -> None:
    helped = celery("-A", "worker", "sms", "list", "--help")

    assert "Usage: celery -A worker sms list [OPTIONS]" in helped.stdout


def test_celery_itself_does_not_wait_for_our_libraries() -> None:
    (found,) = entry_points(group="celery.commands", name="sms")
    script = f"import sys, importlib; importlib.import_module({found.module!r}); print('sqlalchemy' in sys.modules)"

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stdout == "False\n"
