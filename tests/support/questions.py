"""What people ask the database, in the words of both."""

from typing import Any, NamedTuple

from example_rows import CODE, LOST, NO_ANSWER, WEAK_PHONE, WORKER


class Question(NamedTuple):
    """One question, and its answer in the house of `example_rows`.

    Columns behind those of the answer are of the moment.
    ``{1 DAY AGO}`` and the like in its SQL is what each database says in its own way: see `WORDS`.
    """

    asked: str
    sql: str
    answer: list[tuple[Any, ...]]
    note: str = ""


WORDS = {
    "postgresql": {
        "15 MINUTES AGO": "now() - interval '15 minutes'",
        "1 DAY AGO": "now() - interval '1 day'",
        "7 DAYS AGO": "now() - interval '7 days'",
        "YESTERDAY": "(current_date - 1)::timestamptz",
        "TODAY": "current_date::timestamptz",
        "DAY OF YESTERDAY": "current_date - 1",
        "HOUR OF CREATED": "to_char(created_at, 'HH24')",
        "SECONDS TO DELIVER": "extract(epoch FROM delivered_at - send_at)",
        "DAY OF SEND": "send_at::date - current_date",
    },
    "sqlite": {
        "15 MINUTES AGO": "datetime('now', '-15 minutes')",
        "1 DAY AGO": "datetime('now', '-1 day')",
        "7 DAYS AGO": "datetime('now', '-7 days')",
        "YESTERDAY": "date('now', '-1 day')",
        "TODAY": "date('now')",
        "DAY OF YESTERDAY": "date('now', '-1 day')",
        "HOUR OF CREATED": "strftime('%H', created_at)",
        "SECONDS TO DELIVER": "(julianday(delivered_at) - julianday(send_at)) * 86400",
        "DAY OF SEND": "julianday(date(send_at)) - julianday(date('now'))",
    },
}


def in_words_of(sql: str, dialect: str) -> str:
    """The SQL as *dialect* understands it."""
    for name, words in WORDS[dialect].items():
        sql = sql.replace(f"{{{name}}}", words)
    return sql


QUESTIONS = [
    Question(
        "Is it going out?",
        """SELECT lane, state, count(*) AS batches, sum(accepted) AS accepted
  FROM batches WHERE finished_at >= {15 MINUTES AGO}
 GROUP BY lane, state ORDER BY lane, state""",
        [("otp", "accepted", 1, 2)],
        "What became of the posts of the last quarter of an hour. Nothing here while v_queue says that messages wait: "
        "ask the next three.",
    ),
    Question(
        "How much waits in each lane, and how long?",
        "SELECT lane, waiting, later, oldest_seconds, oldest_at FROM v_queue",
        [("otp", 1, 0), ("normal", 0, 0), ("bulk", 0, 1)],
        "Half a minute is much for a code. `later` is what is not to go yet.",
    ),
    Question(
        "What needs a person, and what is to be done?",
        "SELECT kind, uid, lane, reason, since, remedy FROM v_attention ORDER BY since",
        [
            ("order refused", "uid-refused", "sms.otp", "phone_invalid"),
            ("account paused", None, None, "limit is over"),
            ("account held", None, None, "held by anna"),
            ("unconfirmed", LOST, "normal", NO_ANSWER),
            ("callback failed", CODE, "otp", "HTTP 404"),
            ("circuit open", None, None, "polling: HTTP 502"),
        ],
        "",
    ),
    Question(
        "May we post at all?",
        """SELECT a.login, a.state, a.held_by, c.room, c.state AS circuit, c.reason
  FROM accounts a LEFT JOIN circuits c ON c.account_id = a.id ORDER BY a.id, c.room""",
        [
            ("shop-uz", "active", None, "polling", "open", "HTTP 502"),
            ("shop-uz", "active", None, "posting", "closed", None),
            ("old", "paused", "anna", None, None, None),
        ],
        "",
    ),
    Question(
        "What happened to the code of +998 90 123 45 67?",
        """SELECT uid, lane, state, reason, request_id, report_gateway_status, created_at, delivered_at
  FROM v_sent WHERE phone = '998901234567' ORDER BY id DESC LIMIT 20""",
        [(CODE, "otp", "delivered", None, "5153086", "delivered")],
        "Digits only, with the country's.",
    ),
    Question(
        "What happened to the message that a producer calls login-77?",
        """SELECT uid, producer, state, reason, batch_worker, batch_answer_ms, created_at, delivered_at
  FROM v_sent WHERE key = 'login-77'""",
        [(CODE, "shop", "delivered", None, WORKER, 180)],
        "",
    ),
    Question(
        "What did the gateway say about one message, word for word?",
        """SELECT r.id, r.gateway_status, r.state, r.error_no, r.billed_parts, r.received_at
  FROM messages m JOIN reports r ON r.sms_id = m.id
 WHERE m.uid = '0195a3f0-6c1e-4d0f-9b1f-0d6a3f6a7c11' ORDER BY r.id""",
        [(2, None, None, None, None), (3, "sent", None, None, None), (4, "delivered", "delivered", None, 1)],
        "A row without a word is the answer to a post, kept where it refused this message or came late.",
    ),
    Question(
        "Which messages does a request_id of the vendor's stand for?",
        "SELECT uid, message_id, state, gateway_status FROM v_sent WHERE request_id = '5153086' ORDER BY id",
        [(CODE, "71000005", "delivered", "delivered"), ("uid-6", "71000006", "submitted", None)],
        "",
    ),
    Question(
        "What did a producer send yesterday?",
        """SELECT lane, state, count(*) AS messages, sum(parts) AS parts
  FROM messages
 WHERE producer = 'bank' AND created_at >= {YESTERDAY} AND created_at < {TODAY}
 GROUP BY lane, state ORDER BY lane, state""",
        [("bulk", "delivered", 1, 1), ("bulk", "failed", 1, 1)],
        "Days are those of UTC.",
    ),
    Question(
        "What is unconfirmed, and why?",
        """SELECT m.uid, m.lane, m.reason, b.worker, b.answer_ms, b.created_at
  FROM messages m JOIN batches b ON b.id = m.batch_id
 WHERE m.state = 'unconfirmed' ORDER BY m.id""",
        [(LOST, "normal", NO_ANSWER, WORKER, 30_000)],
        "Nobody knows whether the gateway took them. Ask the vendor what came then before `sms unconfirmed`.",
    ),
    Question(
        "Who decided what?",
        "SELECT who, what, uid, reason, at FROM decisions WHERE at >= {7 DAYS AGO} ORDER BY id",
        [("anna", "pause", None, "a campaign went wrong"), ("anna", "resend", "uid-6", "the vendor said so")],
        "With a uid it is about one message; without one, about the account.",
    ),
    Question(
        "Which numbers fail most?",
        """SELECT phone, count(*) AS failed
  FROM messages WHERE state = 'failed' AND finalized_at >= {7 DAYS AGO}
 GROUP BY phone HAVING count(*) > 1 ORDER BY failed DESC, phone LIMIT 20""",
        [(WEAK_PHONE, 2)],
        "",
    ),
    Question(
        "Why do messages fail?",
        """SELECT reason, error_no, gateway_status, count(*) AS messages
  FROM messages WHERE state = 'failed' AND finalized_at >= {7 DAYS AGO}
 GROUP BY reason, error_no, gateway_status ORDER BY messages DESC, reason""",
        [("refused", 300, None, 1), ("report", None, "undelivered", 1)],
        "",
    ),
    Question(
        "How long did delivery take, hour by hour?",
        """SELECT {HOUR OF CREATED} AS hour, count(*) AS delivered,
       round(avg({SECONDS TO DELIVER})) AS average_seconds, round(max({SECONDS TO DELIVER})) AS longest_seconds
  FROM messages
 WHERE producer = 'bank' AND state = 'delivered' AND created_at >= {YESTERDAY} AND created_at < {TODAY}
 GROUP BY 1 ORDER BY 1""",
        [("12", 1, 30, 30)],
        "Of yesterday, in UTC; counted from when each might go.",
    ),
    Question(
        "What did a day come to, and does the vendor bill what we count?",
        """SELECT producer, nickname, state, messages, parts, billed_parts, billed_more, seconds_to_deliver_p95
  FROM v_daily WHERE day = {DAY OF YESTERDAY} AND producer = 'bank' ORDER BY nickname, state""",
        [("bank", "SHOP", "delivered", 1, 1, 2, 1, 30), ("bank", "SHOP", "failed", 1, 1, 1, 0, None)],
        "",
    ),
    Question(
        "How fast does the gateway answer, and what does it refuse?",
        """SELECT state, error_no, count(*) AS batches, min(answer_ms) AS fastest_ms, max(answer_ms) AS slowest_ms
  FROM batches WHERE finished_at >= {7 DAYS AGO}
 GROUP BY state, error_no ORDER BY state""",
        [("accepted", None, 2, 180, 400), ("refused", 300, 1, 90, 90), ("unconfirmed", None, 1, 30_000, 30_000)],
        "",
    ),
    Question(
        "Which orders were refused at the door?",
        """SELECT queue, producer, key, reason, explanation
  FROM refused_intakes WHERE created_at >= {1 DAY AGO} ORDER BY id DESC LIMIT 50""",
        [("sms.otp", "shop", "login-78", "phone_invalid", "The phone 12345 is not a number.")],
        "`body` holds the order as it came.",
    ),
    Question(
        "Which producers were not told?",
        """SELECT m.producer, c.state, c.reason, count(*) AS events
  FROM callbacks c LEFT JOIN messages m ON m.id = c.sms_id
 WHERE c.state IN ('failed', 'owed')
 GROUP BY m.producer, c.state, c.reason ORDER BY c.state""",
        [("shop", "failed", "HTTP 404", 1), ("shop", "owed", None, 1)],
        "Those that failed: `sms callbacks retry`. Without a producer: the callback of a refused order.",
    ),
    Question(
        "May this number be written to?",
        "SELECT lane, who, reason, lifted_by FROM blocks WHERE phone = '998907654321' ORDER BY id",
        [("bulk", "anna", "asked by letter", None)],
        "A block stands until it is lifted; no row, no block.",
    ),
    Question(
        "What is planned for later?",
        """SELECT producer, lane, {DAY OF SEND} AS days_from_now, count(*) AS messages
  FROM messages WHERE state = 'queued' AND send_at > {TODAY}
   AND attempts = 0 GROUP BY 1, 2, 3 ORDER BY 3, 1, 2""",
        [("shop", "bulk", 1, 1)],
        "",
    ),
]
