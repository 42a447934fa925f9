"""The alerts' own tests, and what each of them has to say."""

import shutil
import subprocess

import pytest
from watched import ALERTS, ROOT, rules

from worker.instruments import KINDS

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not here"
)


@needs_promtool
def test_the_rules_pass_their_own_tests() -> None:
    tests = ALERTS.with_name("alerts_test.yml")

    result = subprocess.run(["promtool", "test", "rules", str(tests)], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


@needs_promtool
def test_the_example_of_a_configuration_is_right() -> None:
    example = ALERTS.with_name("prometheus.yml")

    result = subprocess.run(["promtool", "check", "config", str(example)], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_says_what_is_wrong_how_bad_it_is_and_where_to_read_on(rule: dict[str, dict[str, str]]) -> None:
    name, said = str(rule["alert"]), rule["annotations"]

    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert said.keys() == {"summary", "description", "runbook_url"}
    assert said["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_each_alert_has_a_chapter_in_the_runbook() -> None:
    headings = {
        line.lstrip("#").strip() for line in (ROOT / "docs/runbook.md").read_text().splitlines() if line.startswith("#")
    }

    assert {rule["alert"] for rule in rules()} - headings == set()


def test_no_alert_watches_a_counter_that_is_born_when_it_first_rises() -> None:
    """Prometheus sees no rise from nothing to one. What is new itself is watched by another way."""
    watched = " ".join(rule["expr"] for rule in rules() if rule["alert"] != "SmsUnknownStatus")

    assert [kind.name for kind in KINDS if f"{kind.name}_total" in watched and not kind.known] == []
