"""The runbook has a chapter for whatever may wake somebody, and names only commands and queries that work."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from sqlalchemy import Engine, text

from worker.cli import main

ROOT = Path(__file__).parents[2]
WRITTEN = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
CHAPTERS = {title: body for title, body in re.findall(r"^## (.+)\n((?:(?!^#).*\n)*)", WRITTEN, re.MULTILINE)}  # noqa: C416
CODE = re.findall(r"`([^`]+)`", re.sub(r"```bash\n(.*?)```", r"", WRITTEN, flags=re.DOTALL))
IN_BLOCKS = [line for block in re.findall(r"```bash\n(.*?)```", WRITTEN, re.DOTALL) for line in block.splitlines()]
KINDS = ("unconfirmed", "account paused", "account held", "circuit open", "callback failed", "order refused")


def test_every_alert_has_the_chapter_that_its_link_leads_to() -> None:
    rules = YAML(typ="safe").load(ROOT / "deploy/prometheus/alerts.yml")
    links = {rule["alert"]: rule["annotations"]["runbook_url"] for group in rules["groups"] for rule in group["rules"]}

    assert len(links) > 10
    assert links == {name: f"docs/runbook.md#{name.lower()}" for name in links}
    assert set(links) == {title for title in CHAPTERS if title.startswith("Sms")}


@pytest.mark.check
def test_every_kind_of_v_attention_has_a_chapter() -> None:
    view = (ROOT / "migrations/versions/0003_producers_and_money.py").read_text(encoding="utf-8")
    kinds = set(re.findall(r"SELECT '([a-z]+ ?[a-z]*)'(?: AS kind)?,", view))

    assert kinds == set(KINDS)
    assert kinds <= set(CHAPTERS)


@pytest.mark.check
@pytest.mark.parametrize("title", [title for title in CHAPTERS if title != "First"])
def test_each_chapter_says_how_to_look_what_to_do_and_what_not_or_leads_to_one_that_does(title: str) -> None:
    body = CHAPTERS[title]

    says = [f"- {word}: " in body for word in ("Look", "Do", "Not")]
    leads_to = {linked for linked in KINDS if f"(#{linked.replace(' ', '-')})" in body}
    assert all(says) or (not any(says) and leads_to)


COMMANDS = sorted(
    {
        line.removeprefix(".venv/bin/")
        for line in [*IN_BLOCKS, *map(" ".join, map(str.split, CODE))]
        if re.match(r"(\.venv/bin/)?sms [a-z]", line)
    }
)


@pytest.mark.check
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_exists_with_these_options(command: str) -> None:
    _, name, *words = shlex.split(command)

    parse(main._imported(name), name, words)


def parse(command: Any, name: str, words: list[str]) -> None:
    """Read the words as the command does, and do nothing; raises a usage error for what it does not know."""
    with command.make_context(name, words) as context:
        if getattr(command, "commands", None) and (rest := [*context._protected_args, *context.args]):
            inner_name, inner, inner_words = command.resolve_command(context, rest)
            parse(inner, inner_name, inner_words)


def test_each_query_runs(engine: Engine) -> None:
    queries = [" ".join(code.split()) for code in CODE if code.startswith("SELECT ")]

    assert len(queries) > 5
    with engine.connect() as connection:
        for query in queries:
            connection.execute(text(query))
