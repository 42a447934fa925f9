"""What docs/schemas accepts is not refused for its shape, and what it refuses is refused: whatever the fields."""

import json
from pathlib import Path
from typing import Any

from anything import ODD
from builders import some_terms
from hypothesis import event, example, given
from hypothesis import strategies as some
from jsonschema import Draft202012Validator

from worker.envelope import Envelope
from worker.orders import TASKS, Refusal, read
from worker.storable import is_storable

FOLDER = Path(__file__).parents[2] / "docs/schemas"
SCHEMAS = {task: Draft202012Validator(json.loads((FOLDER / f"{task}.json").read_text("utf-8"))) for task in TASKS}
#: What no schema says, but its descriptions do: numbers that are real ones, parts, ISO 8601, addresses, size.
BEYOND_SHAPE = {"text_too_long", "send_at_invalid", "expires_at_invalid", "messages_too_large"}

WORDS = some.sampled_from([*ODD, "shop", "a" * 255]) | some.text(max_size=4)
SIMPLE = some.none() | some.booleans() | some.integers(-2, 10**12) | some.floats(-1, 3e6) | WORDS
JSON = SIMPLE | some.lists(SIMPLE, max_size=2) | some.dictionaries(WORDS, SIMPLE, max_size=2)


def mostly(good: Any) -> Any:
    """Anything at all, once in six times."""
    return some.sampled_from([good] * 5 + [JSON]).flatmap(lambda chosen: chosen)


PHONE = some.sampled_from(["998901234567", "+998 90 123-45-67", 998901234567, "712001234", "12"])
WORD = some.sampled_from(["shop", "a" * 255, "a" * 256, "", None])
TIME = some.sampled_from(["2026-12-01T09:00:00+05:00", "2026-12-01", "soon", None])
CALLBACK = some.sampled_from([{"task": "a.b"}, {"task": "a.b", "queue": None}, {"url": "https://a.example/"}, None])
ODD_CALLBACK = some.fixed_dictionaries({}, optional=dict.fromkeys(("task", "queue", "url", "mail"), WORDS))
OF_AN_SMS = {
    **dict.fromkeys(("nickname", "key", "producer"), mostly(WORD)),
    **dict.fromkeys(("send_at", "expires_at"), mostly(TIME)),
    "spread_seconds": mostly(some.floats(0, 3e6) | some.integers(-1, 2_592_001)),
    "callback": mostly(CALLBACK) | ODD_CALLBACK,
    "tags": JSON,
    "anything": JSON,
}
GOOD = {"phone": PHONE, "text": some.just("Your code is 4821")}
NUMBER_AND_WORDS = {name: mostly(good) for name, good in GOOD.items()}


def fields_of(names: dict[str, Any], **required: Any) -> Any:
    """Few at a time of *names*, so that some orders are right in all."""
    few = some.lists(some.sampled_from([*names]), max_size=3, unique=True) if names else some.just([])
    return few.flatmap(lambda chosen: some.fixed_dictionaries(required | {name: names[name] for name in chosen}))


SMS = fields_of(OF_AN_SMS, **GOOD) | fields_of(OF_AN_SMS | NUMBER_AND_WORDS)
MANY = some.lists(SMS, min_size=1, max_size=3)
LANES = some.lists(mostly(some.sampled_from(["otp", "normal", "bulk"])), max_size=3)
OF_A_BLOCK = {"lanes": mostly(LANES), "reason": mostly(WORD), "anything": JSON}
PHONES = some.lists(mostly(PHONE), max_size=3)
UIDS = some.lists(mostly(some.just("one")), max_size=2)
DECISION = some.sampled_from(["resend", "drop", "wait"])
CALLS = {
    "sms.send": SMS,
    "sms.send_many": fields_of(OF_AN_SMS, messages=MANY)
    | fields_of(OF_AN_SMS | NUMBER_AND_WORDS, messages=mostly(MANY)),
    "sms.cancel": fields_of({name: mostly(WORD) for name in ("uid", "key", "producer")}),
    "sms.resolve": fields_of({"anything": JSON}, uids=UIDS, decision=DECISION)
    | fields_of({"uids": mostly(UIDS), "decision": mostly(DECISION)}),
    "sms.block": fields_of(OF_A_BLOCK, phones=mostly(PHONES)),
    "sms.unblock": fields_of(OF_A_BLOCK | {"phones": PHONES}),
}
ORDERS = some.one_of(*(some.tuples(some.just(task), fields) for task, fields in CALLS.items()))
BAD_DEFAULT = {"messages": [{"phone": "998901234567", "text": "a", "key": "k"}], "key": 7}


def reasons_of(task: str, fields: dict[str, Any]) -> set[str]:
    found = read(Envelope(task, "my-id", [], fields), some_terms())
    return {one.reason for one in found if isinstance(one, Refusal)}


def is_beyond_shape(reason: str, fields: dict[str, Any]) -> bool:
    """Whether a reader may refuse for *reason* what has the form of its schema."""
    if reason == "phone_missing":
        return any(isinstance(value, float) for value in leaves(fields))  # 1.0 is an integer for JSON Schema
    if reason == "callback_invalid":
        return any(isinstance(value, str) for value in leaves(fields))  # an address that is none
    is_odd = any(isinstance(value, str) and not is_storable(value) for value in leaves(fields))
    return is_odd or reason in BEYOND_SHAPE or reason.startswith("phone_")


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = [*value.values()]
    return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list) else [value]


def is_put_right_by_each(task: str, fields: dict[str, Any]) -> bool:
    """Whether a default for all is wrong, but every message has its own."""
    messages = fields.get("messages")
    if task != "sms.send_many" or not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        return False
    defaults = {name: value for name, value in fields.items() if name != "messages"}
    return all(SCHEMAS["sms.send"].is_valid(defaults | one) for one in messages)


@given(order=ORDERS)
@example(order=("sms.send_many", BAD_DEFAULT))
@example(order=("sms.cancel", {"uid": None, "key": None}))
@example(order=("sms.send", {"phone": 998901234567.0, "text": "a"}))
def test_a_schema_and_the_reader_agree(order: tuple[str, dict[str, Any]]) -> None:
    task, fields = order

    is_valid, reasons = SCHEMAS[task].is_valid(fields), reasons_of(task, fields)
    event(f"{task} {'valid' if is_valid else 'invalid'}")

    if is_valid:
        assert all(is_beyond_shape(reason, fields) for reason in reasons), reasons
    else:
        assert reasons or is_put_right_by_each(task, fields)


@given(fields=SMS)
def test_what_one_message_may_say_each_of_many_may_say(fields: dict[str, Any]) -> None:
    assert SCHEMAS["sms.send"].is_valid(fields) == SCHEMAS["sms.send_many"].is_valid({"messages": [fields]})
