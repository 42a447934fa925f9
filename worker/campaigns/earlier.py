"""Whether this looks like a file that was imported before as another campaign, so that people would get it twice."""

import csv
from pathlib import Path

from worker.campaigns.campaign import Campaign
from worker.orders import uid_of_key


def warning(report: Path, campaign: Campaign) -> str | None:
    """A sentence about the last import, of which *report* tells, if its messages have other uids than these would."""
    found = _first_ordered(report)
    if not found:
        return None
    key, uid = found
    name = key.partition(":")[0]
    if name != campaign.name:
        return (
            f"{report} tells of an import as the campaign {name}. This is another one: whoever is in both gets both. "
            f"If the file was only corrected, --campaign {name} orders what is not ordered yet."
        )
    if uid_of_key(campaign.producer, key) != uid:
        return (
            f"{report} tells of an import by another --producer: whoever is in the file would get it again. "
            "Give the same producer as then."
        )
    return None


def _first_ordered(report: Path) -> tuple[str, str] | None:
    try:
        with report.open(encoding="utf-8", newline="") as lines:
            ordered = (row for row in csv.DictReader(lines) if row.get("state"))
            return next(((str(row["key"]), str(row["uid"])) for row in ordered), None)
    except (OSError, UnicodeError, csv.Error, LookupError):
        return None  # none of ours
