"""docs/metrics.md names every metric, as it is exposed."""

import re
from collections.abc import Iterator

import pytest
from builders import Clock, Sessions, stored
from prometheus_client import Metric
from redis import Redis
from watched import ROOT

from worker.lanes import LaneLists
from worker.metrics import HouseCollector
from worker.publisher import Publisher

PAGE = ROOT / "docs/metrics.md"
UNITS = {
    "sms_callbacks_owed": "callbacks",
    "sms_callbacks_failed": "callbacks",
    "sms_callbacks": "attempts",
    "sms_refused_intakes": "orders",
    "sms_refusals": "orders",
    "sms_orders_put_back": "orders",
    "sms_workers": "processes",
    "sms_gateway_errors": "requests",
    "sms_gateway_status_unknown": "answers",
    "sms_circuit_openings": "openings",
    "sms_account_pauses": "pauses",
    "sms_sweep_found": "rows",
    "sms_trouble": "times",
    "sms_batches": "posts",
    "sms_batch_messages": "messages",
    "sms_polls": "questions",
    "sms_moves": "messages",
    "sms_failures": "messages",
}
YES_OR_NO = ("_up", "_quiet", "_paused", "_held", "_open")


def unit_of(family: Metric) -> str:
    if family.name.endswith(YES_OR_NO):
        return "0 or 1"
    return UNITS.get(family.name) or family.name.rpartition("_")[2]


def row_of(family: Metric) -> str:
    """Its line of the page's tables."""
    ending = "_total" if family.type == "counter" else ""
    labels = sorted({name for sample in family.samples for name in sample.labels} - {"le"})
    listed = ", ".join(f"`{label}`" for label in labels)
    return f"| `{family.name}{ending}` | {listed} | {unit_of(family)} | {family.documentation} |"


def exposed(sessions: Sessions, redis_url: str) -> Iterator[Metric]:
    """Every metric, each with a sample that has its labels."""
    stored(sessions)
    names = {
        "sms_refusals|a": 1.0,
        "sms_failures|1": 1,
        "sms_gateway_errors|posting|1": 1,
        "sms_gateway_status_unknown|a": 1,
    }
    publisher = Publisher(sessions, "worker", now=Clock(), figures=dict)
    publisher.hear_bell()
    publisher._figures = lambda: dict(names)
    publisher.publish()
    with Redis.from_url(redis_url) as redis:
        yield from HouseCollector(sessions, "login", Clock(), lists=LaneLists(redis, owner="test")).collect()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_page_has_a_row_for_each_metric_and_no_other(sessions: Sessions, redis_url: str) -> None:
    rows = {row_of(family): family.type for family in exposed(sessions, redis_url)}

    page = PAGE.read_text()
    on_page: dict[str, str] = {}
    for kind in ("gauge", "counter", "histogram"):
        chapter = page.partition(f"## {kind.title()}s\n")[2].partition("\n## ")[0]
        on_page |= dict.fromkeys(re.findall(r"^\| `sms_.*\|$", chapter, re.MULTILINE), kind)
    assert on_page == rows
