"""The papers name only what exists."""

import json
import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.lifecycle import MOVES
from worker.cli.db import db
from worker.cli.main import COMMANDS
from worker.settings import PREFIX, SECRETS_DIR, Settings
from worker.store.moves import Moved, event_of

ROOT = Path(__file__).parents[2]
PAPERS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
pytestmark = pytest.mark.check


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_links_lead_to_files_and_headings_that_exist(paper: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", paper.read_text(encoding="utf-8")):
        file, _, heading = link.partition("#")
        target = (paper.parent / file).resolve() if file else paper

        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not heading or heading in headings_of(target), link


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_commands_exist(paper: Path) -> None:
    written = paper.read_text(encoding="utf-8")
    code = "\n".join(
        [
            *re.findall(r"^ *```bash\n(.*?)^ *```$", written, re.DOTALL | re.MULTILINE),
            *re.findall(r"`[^`\n]+`", written),
        ]
    )

    assert set(re.findall(r"(?:^|[/`])make ([a-z]+)", code, re.MULTILINE)) <= make_targets()
    assert set(re.findall(r"(?:^|[/`])sms (?!db\b)([a-z]+)", code, re.MULTILINE)) <= set(COMMANDS)
    of_db = {command.name or getattr(command.callback, "__name__", "") for command in db.registered_commands}
    assert set(re.findall(r"(?:^|[/`])sms db ([a-z]+)", code, re.MULTILINE)) <= of_db


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_settings_exist(paper: Path) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {SECRETS_DIR}

    assert set(re.findall(r"\bSMS_[A-Z_]*[A-Z]\b", paper.read_text(encoding="utf-8"))) <= known


def test_the_picture_shows_exactly_the_moves(fenced: Callable[[str, str], list[str]]) -> None:
    (picture,) = fenced("README.md", "mermaid")

    shown = sorted(re.findall(r"^ +(\w+) --> (\w+):", picture, re.MULTILINE))
    assert shown == sorted((str(source), str(target)) for source, targets in MOVES.items() for target in targets)


def test_the_event_shown_has_the_keys_of_a_real_one(fenced: Callable[[str, str], list[str]]) -> None:
    (shown,) = fenced("README.md", "json")
    moved = Moved(1, "uid", "key", "shop", "998901234567", 1, None, None)

    assert set(json.loads(shown)) == set(event_of(moved, "delivered", NOON))


def test_every_reason_of_a_refusal_is_explained() -> None:
    page = (ROOT / "docs/producers.md").read_text(encoding="utf-8")
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "worker").rglob("*.py"))
    reasons = set(re.findall(r'(?:OrderRefused|Refusal|PydanticCustomError)\(\s*"([a-z_0-9]+_[a-z_0-9]+)"', code))

    assert len(reasons) > 20
    assert {reason for reason in reasons if f"`{reason}`" not in page} <= {"time_invalid"}  # becomes its field's own


def test_the_newest_version_in_the_changelog_is_the_project_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert versions[0] == project["version"]


def test_ci_runs_the_readme_s_own_commands() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")

    assert script.splitlines()[-2:] == ["make check", "make test"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111 == 0o111


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def headings_of(paper: Path) -> set[str]:
    """Anchors of headings, as code hosts make them."""
    found = re.findall(r"^#+ (.+)$", paper.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
