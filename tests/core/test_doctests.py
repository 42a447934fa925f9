"""The examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

import models
import worker

ROOTS = [Path(package.__path__[0]) for package in (models, worker)]
FILES = [file for root in ROOTS for file in sorted(root.rglob("*.py")) if ">>>" in file.read_text()]
NAMES = [".".join(file.relative_to(ROOTS[0].parent).with_suffix("").parts) for file in FILES]


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))

    assert result.attempted
    assert not result.failed


def test_the_policies_have_examples() -> None:
    assert {"worker.backoff", "worker.phone", "worker.text", "models.lifecycle"} <= set(NAMES)
