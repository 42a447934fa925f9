"""A producer as any shop may write it, with Celery and nothing else: ``python producer.py BROKER_URL RECIPIENTS.csv``.

It sends every row of the file: those of the bulk lane a hundred at a time, the others one by one.
"""

import csv
import sys
from pathlib import Path

from celery import Celery

PRODUCER = "demo"
AT_ONCE = 100
# Celery writes the arguments in clear beside the message, for every monitor to see, unless it is told what to write.
HIDDEN = {"argsrepr": "…", "kwargsrepr": "…"}

Row = dict[str, str]


def send_all(shop: Celery, rows: list[Row]) -> None:
    """Send the campaign first: the codes and notices that follow overtake it."""
    campaign = [row for row in rows if row["lane"] == "bulk"]
    for start in range(0, len(campaign), AT_ONCE):
        send_many(shop, campaign[start : start + AT_ONCE])
    for row in rows:
        if row["lane"] != "bulk":
            send_one(shop, row)


def send_one(shop: Celery, row: Row) -> None:
    """The key makes a repeat harmless: the same producer and key are the same message for ever."""
    shop.send_task(
        "sms.send",
        args=[row["phone"], row["text"]],
        kwargs={"key": row["key"], "producer": PRODUCER},
        queue=f"sms.{row['lane']}",
        **HIDDEN,
    )


def send_many(shop: Celery, rows: list[Row]) -> None:
    """One Celery message for many SMS."""
    messages = [{name: row[name] for name in ("key", "phone", "text")} for row in rows]
    shop.send_task(
        "sms.send_many", args=[messages], kwargs={"producer": PRODUCER}, queue=f"sms.{rows[0]['lane']}", **HIDDEN
    )


def main(broker: str, recipients: str) -> None:
    """Send all rows of the file *recipients*, and say how many they were."""
    with Path(recipients).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    send_all(Celery(broker=broker), rows)
    print(f"sent {len(rows)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
