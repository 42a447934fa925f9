"""The lists of all that is no message."""

from typing import Any

from sqlalchemy import Label, select
from sqlalchemy.orm import InstrumentedAttribute

from models import Message
from models.batch import Batch
from models.block import Block
from models.callback import Callback
from models.decision import Decision
from models.lifecycle import BatchState, CallbackState, Lane, Verdict
from models.refused_intake import RefusedIntake
from models.report import Report
from worker.web.languages import lazy
from worker.web.lists.rows import Rows
from worker.web.lists.sheets import Column, Filter, Kind, Sheet, Sort, to_message
from worker.web.lists.sheets import to_request as to_request_of


def _uid_of(sms_id: InstrumentedAttribute[Any]) -> Label[Any]:
    return select(Message.uid).where(Message.id == sms_id).scalar_subquery().label("uid")


SINCE = Filter("since", lazy("Since"), Sort.MOMENT)
UNTIL = Filter("until", lazy("Until"), Sort.MOMENT)
OF_LANE = Filter("lane", lazy("Lane"), Sort.CHOICE, tuple(Lane))

BATCHES = Sheet(
    "batches",
    lazy("Batches"),
    Rows(Batch, "created_at", {"state": "state", "lane": "lane", "worker": "worker"}),
    (
        Column("id", lazy("Batch"), Kind.PLAIN, lambda row: f"/batches/{row.id}"),
        Column("created_at", lazy("Claimed"), Kind.AT),
        Column("state", lazy("State"), Kind.WORD),
        Column("lane", lazy("Lane"), Kind.WORD),
        Column("size", lazy("Messages"), Kind.PLAIN, lambda row: f"/messages?batch={row.id}"),
        Column("accepted", lazy("Accepted")),
        Column("refused", lazy("Refused")),
        Column("answer_ms", lazy("Answer, ms")),
        Column("error_no", lazy("Error")),
        Column("http_status", lazy("HTTP status")),
        Column("reason", lazy("Reason"), Kind.WRITTEN),
        Column("nickname", lazy("Nickname")),
        Column("worker", lazy("Worker")),
        Column("finished_at", lazy("Finished"), Kind.AT),
        Column("begins_by", lazy("Begins by"), Kind.AT, listed=False),
        Column("lease_until", lazy("Leased until"), Kind.AT, listed=False),
    ),
    (
        Filter("state", lazy("State"), Sort.CHOICE, tuple(BatchState)),
        OF_LANE,
        Filter("worker", lazy("Worker")),
        SINCE,
        UNTIL,
    ),
    lazy("Each is one request to the gateway. What was posted is never posted again as the same batch."),
)

REPORTS = Sheet(
    "reports",
    lazy("Reports"),
    Rows(
        Report,
        "received_at",
        {"message": "sms_id", "gateway_status": "gateway_status", "request_id": "request_id"},
        ("message",),
        (_uid_of(Report.sms_id),),
    ),
    (
        Column("id", lazy("Report"), Kind.PLAIN, lambda row: f"/reports/{row.id}"),
        Column("received_at", lazy("Heard"), Kind.AT),
        Column("gateway_status", lazy("The gateway's word"), Kind.WRITTEN),
        Column("state", lazy("State"), Kind.WORD),
        Column("error_no", lazy("Error")),
        Column("request_id", lazy("request_id"), Kind.PLAIN, to_request_of),
        Column("message_id", lazy("message_id")),
        Column("billed_parts", lazy("Parts billed")),
        Column("sent_at", lazy("Sent"), Kind.AT),
        Column("delivered_at", lazy("Delivered"), Kind.AT),
        Column("uid", lazy("Message"), Kind.PLAIN, to_message),
        Column("answer", lazy("The gateway's answer"), Kind.SECRET, listed=False),
    ),
    (
        Filter("message", lazy("Message (id)"), Sort.NUMBER),
        Filter("gateway_status", lazy("The gateway's word")),
        SINCE,
        UNTIL,
    ),
    lazy("What the gateway said about each message, word for word."),
)

CALLBACKS = Sheet(
    "callbacks",
    lazy("Callbacks"),
    Rows(
        Callback,
        "created_at",
        {"state": "state", "message": "sms_id"},
        ("message",),
        (_uid_of(Callback.sms_id),),
    ),
    (
        Column("id", lazy("Callback"), Kind.PLAIN, lambda row: f"/callbacks/{row.id}"),
        Column("created_at", lazy("Owed since"), Kind.AT),
        Column("state", lazy("State"), Kind.WORD),
        Column("receiver", lazy("Receiver")),
        Column("tells", lazy("Tells of"), Kind.WORD),
        Column("attempts", lazy("Attempts")),
        Column("reason", lazy("Reason"), Kind.WRITTEN),
        Column("next_try_at", lazy("Next try"), Kind.AT),
        Column("finished_at", lazy("Finished"), Kind.AT),
        Column("uid", lazy("Message"), Kind.PLAIN, to_message),
        Column("retried_at", lazy("Retried"), Kind.AT, listed=False),
        Column("retried_by", lazy("Retried by"), listed=False),
        Column("event_id", lazy("event_id"), listed=False),
        Column("target", lazy("Address"), Kind.SECRET, listed=False),
        Column("event", lazy("What is told"), Kind.SECRET, listed=False),
    ),
    (
        Filter("state", lazy("State"), Sort.CHOICE, tuple(CallbackState)),
        Filter("message", lazy("Message (id)"), Sort.NUMBER),
        SINCE,
        UNTIL,
    ),
    lazy("What producers are told when a message changes."),
)

REFUSED = Sheet(
    "refused",
    lazy("Refused orders"),
    Rows(
        RefusedIntake,
        "created_at",
        {
            "reason": "reason",
            "producer": "producer",
            "uid": "uid",
            "queue": "queue",
        },
        ("uid",),
    ),
    (
        Column("id", lazy("Order"), Kind.PLAIN, lambda row: f"/refused/{row.id}"),
        Column("created_at", lazy("Refused at"), Kind.AT),
        Column("reason", lazy("Reason")),
        Column("explanation", lazy("What was wrong"), Kind.WRITTEN),
        Column("producer", lazy("Producer"), Kind.WRITTEN),
        Column("key", lazy("Key"), Kind.WRITTEN),
        Column("uid", lazy("uid")),
        Column("queue", lazy("Queue")),
        Column("task", lazy("Task"), Kind.WRITTEN),
        Column("body_encoding", lazy("Encoding of the body"), listed=False),
        Column("body", lazy("Body"), Kind.SECRET, listed=False),
    ),
    (
        Filter("reason", lazy("Reason")),
        Filter("producer", lazy("Producer")),
        Filter("uid", lazy("uid")),
        Filter("queue", lazy("Queue")),
        SINCE,
        UNTIL,
    ),
    lazy("Orders that could not be accepted, kept as they came. Producers who asked for it are told."),
)

DECISIONS = Sheet(
    "decisions",
    lazy("Decisions"),
    Rows(Decision, "at", {"what": "what", "who": "who", "uid": "uid"}, ("uid",)),
    (
        Column("at", lazy("When"), Kind.AT),
        Column("who", lazy("Who")),
        Column("what", lazy("What"), Kind.WORD),
        Column("uid", lazy("Message"), Kind.PLAIN, to_message),
        Column("reason", lazy("Reason"), Kind.WRITTEN),
    ),
    (
        Filter("what", lazy("What"), Sort.CHOICE, tuple(Verdict)),
        Filter("who", lazy("Who")),
        Filter("uid", lazy("uid")),
        SINCE,
        UNTIL,
    ),
    lazy("Who decided what, and when."),
    has_pages=False,
)

BLOCKS = Sheet(
    "blocks",
    lazy("Do-not-send list"),
    Rows(Block, "at", {"phone": "phone", "lane": "lane"}, ("phone",)),
    (
        Column("phone", lazy("Phone"), Kind.PHONE),
        Column("lane", lazy("Lane"), Kind.WORD),
        Column("at", lazy("Since"), Kind.AT),
        Column("who", lazy("Who")),
        Column("reason", lazy("Reason"), Kind.WRITTEN),
        Column("lifted_at", lazy("Lifted"), Kind.AT),
        Column("lifted_by", lazy("Lifted by")),
    ),
    (Filter("phone", lazy("Phone"), Sort.PHONE), OF_LANE),
    lazy("Numbers that get nothing until they are lifted."),
    has_pages=False,
)
