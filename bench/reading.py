"""What it costs to read: orders off the broker, and the gateway's answers. CPU of this process, µs per message.

Nothing is stored or posted. The best of several rounds counts: what disturbs a round only makes it longer.

    .venv/bin/python bench/reading.py [--short] [--orders 5000] [--rounds 5] [--json FILE]
"""

import argparse
import base64
import json
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.table import Table

from bench.usage import machine
from models.lifecycle import Lane
from worker import orders
from worker.clock import utc_now
from worker.envelope import unpack
from worker.gateway import OutgoingSms
from worker.gateway import http as http_gateway
from worker.gateway.replies import acceptance_of
from worker.order_fields import Terms
from worker.takers import ORDERS_AT_ONCE

BATCH = 50
LATIN = "Kodingiz: {:06d}"
CYRILLIC = "Ҳурматли мижоз, «Ўзбекистон» дўкони: буюртмангиз № {:06d} тайёр — олиб кетинг"
TERMS = Terms(
    lane=Lane.OTP,
    now=utc_now(),
    zone=ZoneInfo("Asia/Tashkent"),
    nickname=None,
    max_parts=10,
    signs_callbacks=False,
)
REWRITING = replace(TERMS, fold_text=True, transliterate_text=True)


class Case(NamedTuple):
    """Something that is read again and again, and how many messages it is about."""

    name: str
    messages: int
    read: Callable[[], object]


def main() -> None:
    """Measure each case, and show them."""
    wanted = arguments()
    costs = {case.name: cost_us(case, wanted.rounds) for case in cases(wanted.orders)}
    if wanted.json:
        written = {"machine": machine(), "microseconds": costs}
        wanted.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    Console().print(table(costs))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--orders", type=int, default=5_000, help="messages of each case")
    parser.add_argument("--rounds", type=int, default=5, help="the best of so many counts")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--short", action="store_true", help="the same: it takes seconds")
    return parser.parse_args()


def cases(messages: int) -> Sequence[Case]:
    plain = [a_send([phone(i), LATIN.format(i)], {}) for i in range(messages)]
    named = [a_send([], some_named(i)) for i in range(messages)]
    cyrillic = [a_send([phone(i), CYRILLIC.format(i)], {}) for i in range(messages)]
    posts = [outgoing(first) for first in range(0, messages, BATCH)]
    return [
        Case("sms.send, unpacked only", messages, lambda: [unpack(raw) for raw in plain]),
        Case("sms.send", messages, lambda: read(plain)),
        Case("sms.send, all by name: key, producer, nickname, tags, callback, expires", messages, lambda: read(named)),
        Case("sms.send, Cyrillic", messages, lambda: read(cyrillic)),
        Case("sms.send, Cyrillic, folded and transliterated", messages, lambda: read(cyrillic, REWRITING)),
        *(many_case(messages, each) for each in (100, 500)),
        answer_case(posts),
        *(form_case(*named_posts) for named_posts in (("Latin", posts), ("Cyrillic", as_cyrillic(posts)))),
    ]


def many_case(messages: int, each: int) -> Case:
    raws = [
        an_envelope("sms.send_many", [[{"phone": phone(i), "text": LATIN.format(i)} for i in range(at, at + each)]], {})
        for at in range(0, messages, each)
    ]
    return Case(f"sms.send_many of {each}", len(raws) * each, lambda: read(raws))


def answer_case(posts: Sequence[Sequence[OutgoingSms]]) -> Case:
    answers = [an_answer(messages) for messages in posts]
    both = list(zip(posts, answers, strict=True))
    return Case(
        f"an answer to a post of {BATCH}",
        len(posts) * BATCH,
        lambda: [acceptance_of(messages, 200, body) for messages, body in both],
    )


def form_case(name: str, posts: Sequence[Sequence[OutgoingSms]]) -> Case:
    url = "http://127.0.0.1:1/smsgateway/"
    credentials = {"login": "shop", "password": "secret"}
    return Case(
        f"the request of a post of {BATCH}, {name}",
        len(posts) * BATCH,
        lambda: [prepared(url, credentials, messages) for messages in posts],
    )


def prepared(url: str, credentials: Mapping[str, str], messages: Sequence[OutgoingSms]) -> object:
    data = json.dumps([{"phone": m.phone, "text": m.text} for m in messages], separators=(",", ":"))
    return http_gateway._prepared(url, credentials, data)  # noqa: SLF001


def cost_us(case: Case, rounds: int) -> float:
    """CPU microseconds for each message."""
    case.read()
    return round(min(seconds_of(case.read) for _ in range(rounds)) / case.messages * 1e6, 2)


def seconds_of(read: Callable[[], object]) -> float:
    began = time.process_time()
    read()
    return time.process_time() - began


def table(costs: Mapping[str, float]) -> Table:
    shown = Table("reading", "CPU µs per message")
    shown.columns[1].justify = "right"
    for name, cost in costs.items():
        shown.add_row(name, f"{cost:.2f}")
    return shown


def read(raws: Sequence[bytes], terms: Terms = TERMS) -> None:
    """As the intake reads: so many at once, kept until they are stored. Whatever is refused spoils the figure."""
    for first in range(0, len(raws), ORDERS_AT_ONCE):
        found = [order for raw in raws[first : first + ORDERS_AT_ONCE] for order in orders.read(unpack(raw), terms)]
        if any(type(one) is not orders.New for one in found):
            raise SystemExit("an order of the bench was refused")


def phone(number: int) -> str:
    return f"99890{number:07d}"


def some_named(number: int) -> dict[str, Any]:
    """All that a careful producer says."""
    return {
        "phone": phone(number),
        "text": LATIN.format(number),
        "key": f"order-{number}",
        "producer": "shop",
        "nickname": "SHOP",
        "tags": {"campaign": "spring", "customer": number},
        "callback": {"task": "shop.sms_changed", "queue": "shop"},
        "expires_at": "2126-11-30T09:05:00+05:00",
    }


def outgoing(first: int) -> list[OutgoingSms]:
    return [OutgoingSms(i, phone(i), LATIN.format(i)) for i in range(first, first + BATCH)]


def as_cyrillic(posts: Sequence[Sequence[OutgoingSms]]) -> list[list[OutgoingSms]]:
    return [[OutgoingSms(m.reference, m.phone, CYRILLIC.format(m.reference)) for m in messages] for messages in posts]


def an_answer(messages: Sequence[OutgoingSms]) -> bytes:
    """The vendor's document shows such rows."""
    rows = [
        {
            "recipient": int(m.phone),
            "text": m.text,
            "user_id": 1,
            "date_received": 1499493672,
            "message_id": 25_300_000 + m.reference,
            "request_id": 21_400_000 + messages[0].reference,
            "client_ip": "185.8.212.184",
        }
        for m in messages
    ]
    return json.dumps(rows, separators=(",", ":")).encode()


def a_send(args: list[Any], kwargs: dict[str, Any]) -> bytes:
    return an_envelope("sms.send", args, kwargs)


def an_envelope(task: str, args: list[Any], kwargs: dict[str, Any]) -> bytes:
    """As Celery 5 and Kombu lay it on a Redis list."""
    task_id = str(uuid.uuid4())
    embed = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
    headers = dict.fromkeys(("shadow", "eta", "expires", "group", "group_index", "parent_id")) | {
        "lang": "py",
        "task": task,
        "id": task_id,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "argsrepr": repr(args)[:1024],
        "kwargsrepr": repr(kwargs)[:1024],
        "origin": "gen1@shop",
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    properties = {
        "correlation_id": task_id,
        "reply_to": str(uuid.uuid4()),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "sms.otp"},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    message = {
        "body": base64.b64encode(json.dumps([args, kwargs, embed]).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
    return json.dumps(message).encode()


if __name__ == "__main__":
    main()
