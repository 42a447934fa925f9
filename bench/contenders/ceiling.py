"""N4, the ceiling: what this machine does when nothing is safe.

One process pops hundreds of messages off Redis, which forgets them, posts them by 50 on kept connections all at once,
and copies the outcomes into PostgreSQL while the gateway answers the next ones. Whatever goes wrong loses messages.
"""

import base64
import os
import ssl
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, cast
from urllib.parse import quote_plus, urlsplit

import orjson
import psycopg
from redis import Redis

BATCH = 50
GATEWAY = urlsplit(os.environ["GATEWAY_URL"])
LOGIN = f"login={quote_plus(os.environ['GATEWAY_LOGIN'])}&password={quote_plus(os.environ['GATEWAY_PASSWORD'])}&data="
SECURE = ssl.create_default_context()
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
COPY = "COPY sms (phone, text, request_id, message_id, accepted_at) FROM STDIN"
TABLE = """CREATE TABLE IF NOT EXISTS sms (
    phone text, text text, state text DEFAULT 'accepted', request_id text, message_id text, accepted_at timestamptz
)"""

Answers = Sequence[dict[str, Any]]


class Burst:
    """Posts that are under way at the same time, each on a connection of its own."""

    def __init__(self, connections: int) -> None:
        self._connections = [connected() for _ in range(connections)]

    @property
    def room(self) -> int:
        return len(self._connections) * BATCH

    def post(self, orders: Sequence[bytes]) -> int:
        """Write the requests; return how many there are."""
        asked = [phone_and_text(order) for order in orders]
        batches = [asked[start : start + BATCH] for start in range(0, len(asked), BATCH)]
        for connection, batch in zip(self._connections, batches, strict=False):
            body = LOGIN + quote_plus(orjson.dumps(batch))
            connection.request("POST", f"{GATEWAY.path}/", body, HEADERS)
        return len(batches)

    def answers(self, batches: int) -> Answers:
        """Read as many answers."""
        read = [orjson.loads(connection.getresponse().read()) for connection in self._connections[:batches]]
        return [answer for answers in read for answer in answers]


def connected() -> HTTPConnection:
    host, port = cast("str", GATEWAY.hostname), GATEWAY.port
    return HTTPSConnection(host, port, context=SECURE) if GATEWAY.scheme == "https" else HTTPConnection(host, port)


def pop(redis: Redis, queue: str, most: int) -> Sequence[bytes]:
    return cast("Sequence[bytes] | None", redis.rpop(queue, most)) or []


def wait(redis: Redis, queue: str, most: int) -> Sequence[bytes]:
    found = cast("Any", redis.blmpop(1.0, 1, queue, direction="RIGHT", count=most))
    return cast("Sequence[bytes]", found[1]) if found else []


def phone_and_text(order: bytes) -> dict[str, str]:
    args = orjson.loads(base64.b64decode(orjson.loads(order)["body"]))[0]
    return {"phone": args[0], "text": args[1]}


def store(database: psycopg.Connection, answers: Answers) -> None:
    """Copied and committed."""
    now = datetime.now(UTC)
    rows = [f"{it['recipient']}\t{it['text']}\t{it['request_id']}\t{it['message_id']}\t{now}\n" for it in answers]
    with database.cursor().copy(COPY) as copy:
        copy.write("".join(rows))
    database.commit()


def main() -> None:
    database = psycopg.connect(os.environ["DATABASE_URL"].replace("+psycopg", ""))
    database.execute(TABLE)
    database.commit()
    redis, queue = Redis.from_url(os.environ["BROKER_URL"]), os.environ["QUEUE"]
    burst = Burst(int(os.environ["CONNECTIONS"]))
    to_store: Answers = []
    sys.stdout.write("N4 ready.\n")
    sys.stdout.flush()
    while True:
        orders = pop(redis, queue, burst.room) or ([] if to_store else wait(redis, queue, burst.room))
        batches = burst.post(orders)
        if to_store:
            store(database, to_store)  # while the gateway answers
        to_store = burst.answers(batches)


if __name__ == "__main__":
    main()
