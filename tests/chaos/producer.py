"""A producer as any shop may have it, stock Celery: ``python -m tests.chaos.producer BROKER FOLDER EVERY``.

It orders numbered messages, as far and as fast as the file ``wanted`` says, and writes each number that the broker
acknowledged into ``published``. What raised is ordered again under its key until it is acknowledged.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery

from tests.chaos.numbered import BLOCK, PRODUCER, SHOP, lane_of, numbers, phone_of, text_of, wants_to_be_told

AGAIN_SECONDS = 0.2
LOOKS_SECONDS = 0.05


class Shop:
    """Orders messages and remembers which the broker has."""

    def __init__(self, broker: str, folder: Path, callback_every: int) -> None:
        self._celery = Celery(broker=broker)
        # A broker that stands still must not hold up a shop for ever; what is cut off may have arrived all the same.
        self._celery.conf.broker_transport_options = {"socket_timeout": 5, "socket_connect_timeout": 5}
        self._folder = folder
        self._callback_every = callback_every
        self._published = (folder / "published").open("a", buffering=1)
        self._next = 1

    def run(self) -> None:
        """Go on until killed."""
        due_at = time.monotonic()
        while True:
            last, per_second = self._wanted()
            if self._next > last or time.monotonic() < due_at:
                time.sleep(LOOKS_SECONDS if self._next > last else 0.005)
                continue
            due_at = max(due_at + BLOCK / per_second, time.monotonic() - 1)
            self._order(numbers(self._next, min(self._next + BLOCK - 1, last)))
            self._next += BLOCK

    def _wanted(self) -> tuple[int, float]:
        try:
            last, per_second = (self._folder / "wanted").read_text().split()
        except FileNotFoundError:
            return 0, 1.0
        return int(last), float(per_second)

    def _order(self, block: list[int]) -> None:
        bulk = [number for number in block if lane_of(number) == "bulk"]
        for number in block:
            if number not in bulk:
                self._until_acknowledged([number], lambda number=number: self._send(number))  # type: ignore[misc]
        if bulk:
            self._until_acknowledged(bulk, lambda: self._send_many(bulk))

    def _until_acknowledged(self, block: list[int], send: Callable[[], None]) -> None:
        while True:
            try:
                send()
            except Exception as error:  # noqa: BLE001 - it may have been delivered all the same: hence the key
                self._published.write(f"again {block[0]} {block[-1]} {type(error).__name__}\n")
                time.sleep(AGAIN_SECONDS)
            else:
                self._published.writelines(f"{number}\n" for number in block)
                return

    def _send(self, number: int) -> None:
        options = self._named(number)
        args = [phone_of(number), text_of(number)]
        self._celery.send_task("sms.send", args=args, kwargs=options, queue=f"sms.{lane_of(number)}")

    def _send_many(self, block: list[int]) -> None:
        messages = [{"phone": phone_of(number), "text": text_of(number)} | self._named(number) for number in block]
        self._celery.send_task("sms.send_many", args=[messages], queue=f"sms.{lane_of(block[0])}")

    def _named(self, number: int) -> dict[str, Any]:
        named: dict[str, Any] = {"key": str(number), "producer": PRODUCER}
        if wants_to_be_told(number, every=self._callback_every):
            named["callback"] = SHOP
        return named


if __name__ == "__main__":
    Shop(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])).run()
