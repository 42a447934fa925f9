"""How the papers are read."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fenced() -> Callable[[str, str], list[str]]:
    """Gives the fenced blocks of one language in a paper, in order."""

    def blocks(paper: str, language: str) -> list[str]:
        found = re.findall(
            rf"^( *)```{language}\n(.*?)^ *```$", (ROOT / paper).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
        return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]

    return blocks


@pytest.fixture
def named(fenced: Callable[[str, str], list[str]]) -> Callable[[str, str], str]:
    """Gives the Python block of a paper whose first line names a file."""

    def block(paper: str, file: str) -> str:
        (found,) = [block for block in fenced(paper, "python") if block.startswith(f"# {file}\n")]
        return found

    return block


@pytest.fixture
def compose() -> Mapping[str, Any]:
    """docker-compose.yml."""
    found: Mapping[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    return found
