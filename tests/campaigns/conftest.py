"""Campaigns over real files."""

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from models.lifecycle import Lane
from worker.campaigns.campaign import Campaign
from worker.campaigns.rows import column
from worker.campaigns.source import open_source
from worker.campaigns.template import template

AFile = Callable[..., Path]
ACampaign = Callable[..., Campaign]


@pytest.fixture
def a_file(tmp_path: Path) -> AFile:
    """CSV of phone and name."""

    def write(*rows: Sequence[str], name: str = "clients.csv") -> Path:
        file = tmp_path / name
        file.write_text("".join(",".join(row) + "\n" for row in [("phone", "name"), *rows]), encoding="utf-8")
        return file

    return write


@pytest.fixture
def a_campaign(a_file: AFile) -> ACampaign:
    """One of such a file, or of these rows."""

    def make(*rows: Sequence[str], words: str = "Salom {name}", file: Path | None = None, **changes: Any) -> Campaign:
        source = open_source(file or a_file(*rows))
        options: dict[str, Any] = {
            "name": f"import-{source.digest}",
            "lane": Lane.BULK,
            "producer": "import",
            "rows": source.rows,
            "phone_column": column(source.rows.header, "phone"),
            "fill": template(words, source.rows.header),
            "run": uuid.uuid4(),
        }
        return Campaign(**options | changes)

    return make
