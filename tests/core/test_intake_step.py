"""How a worker's intake ends, in a process of its own: with the settings comes the Celery app."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STOP = """
import sys
from worker.startup import IntakeStep

class Part:
    def __init__(self, name):
        self.name = name

    def end(self):
        print(self.name)
        if self.name == sys.argv[1]:
            raise OSError

    stop = close = leave = end

step = IntakeStep(None)
step._takers, step._express, step._name = map(Part, ("takers", "posts", "name"))
try:
    step.stop(None)
except OSError:
    print("raised")
step.stop(None)
"""


@pytest.mark.parametrize("part", ["takers", "posts", "name"])
def test_whatever_breaks_while_it_ends_the_rest_ends_too_and_nothing_twice(tmp_path: Path, part: str) -> None:
    env = {"PATH": os.environ["PATH"], "SMS_GATEWAY_URL": "http://127.0.0.1:9/smsgateway"}
    env |= {"SMS_GATEWAY_LOGIN": "we", "SMS_GATEWAY_PASSWORD": "x"}

    command = [sys.executable, "-c", STOP, part]
    stopped = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert stopped.stdout.split() == ["takers", "posts", "name", "raised"]
