"""Whatever stands on a lane's list, intake never raises, and every order leaves at least one row."""

import base64
import json
import uuid
from typing import Any

import pytest
from anything import JSON, ODD, WORDS, emptied, fewer, more, written
from builders import Sessions, a_send, all_of, an_envelope, an_intake, some_terms
from hypothesis import example, given
from hypothesis import strategies as some

from models import Block, Message, RefusedIntake
from models.lifecycle import Lane
from worker import envelope as envelopes
from worker import orders
from worker.envelope import CANVAS, Envelope, refuse_unsupported, task_id_of, unpack
from worker.errors import OrderRefused

WORD = some.just("shop") | WORDS | JSON
PHONE = some.sampled_from(["998901234567", "+998 90 123 45 67", 998901234567, "12"]) | JSON
TIME = some.just("2026-12-01T09:00:00") | some.datetimes().map(str) | WORDS | JSON
OF_AN_SMS = {
    "phone": PHONE,
    "text": some.just("Your code is 4821") | WORDS | JSON,
    **dict.fromkeys(("nickname", "key", "producer"), WORD),
    **dict.fromkeys(("send_at", "expires_at"), TIME),
    "spread_seconds": some.integers(0, 600) | some.floats() | JSON,
    "callback": some.sampled_from([{"task": "a.b"}, {"url": "https://a.example/"}]) | JSON,
    "tags": JSON,
    "anything": JSON,
}
SMS = some.fixed_dictionaries({}, optional=OF_AN_SMS)
MESSAGES = some.lists(SMS | JSON, max_size=3) | JSON
PHONES = some.lists(PHONE, max_size=3) | JSON
LANES = some.lists(some.sampled_from(["otp", "normal", "bulk"]) | JSON, max_size=3) | JSON
FIELDS = {
    "sms.send": SMS,
    "sms.send_many": some.fixed_dictionaries({"messages": MESSAGES}, optional=OF_AN_SMS),
    "sms.cancel": some.fixed_dictionaries({"key": WORD}, optional={"producer": WORD})
    | some.fixed_dictionaries({}, optional={"uid": WORD, "anything": JSON}),
    "sms.resolve": some.fixed_dictionaries(
        {"uids": some.lists(WORDS, max_size=3) | JSON, "decision": some.sampled_from(["resend", "drop"]) | JSON}
    ),
    "sms.block": some.fixed_dictionaries({"phones": PHONES}, optional={"lanes": LANES, "reason": WORD}),
    "sms.unblock": some.fixed_dictionaries({"phones": PHONES}, optional={"lanes": LANES}),
}
TASKS = some.sampled_from([*FIELDS])
CALLS = some.one_of(  # task, positional arguments, named ones
    *(some.tuples(some.just(task), some.just([]), fields) for task, fields in FIELDS.items()),
    some.tuples(TASKS | WORDS, some.lists(JSON, max_size=3), some.dictionaries(WORDS, JSON, max_size=3)),
)
TASK_IDS = some.uuids().map(str) | WORDS
VERSION = some.sampled_from(["1.1", "1.0", "2.0", 1, 1.1, "1.", "\u0661.1", 10**400]) | JSON
HEADERS = some.fixed_dictionaries(
    {}, optional={"eta": TIME, "expires": TIME, "id": WORD, "compression": JSON, "sms_contract": VERSION}
)
FOLLOWERS = some.dictionaries(some.sampled_from([*CANVAS]), some.just([{"task": "shop.after"}]) | JSON, max_size=1)
ENVELOPES = some.builds(
    lambda call, headers, embed: with_embed(an_envelope(call[0], *call[1], headers=headers, **call[2]), embed),
    CALLS,
    HEADERS,
    FOLLOWERS | JSON,
)
LIKE_AN_ENVELOPE = some.fixed_dictionaries(
    {},
    optional={
        "body": some.sampled_from(["W10=", "[[], {}, {}]", "W1tdLCB7fSwge31d"]) | JSON,
        "headers": some.fixed_dictionaries({}, optional={"task": TASKS | JSON, "id": WORDS | JSON, "eta": JSON}) | JSON,
        "content-type": some.just("application/json") | JSON,
        "properties": some.dictionaries(some.just("body_encoding"), some.just("base64") | JSON) | JSON,
    },
).map(written)
DEEP = some.integers(1, 1_100).map(lambda levels: a_send(tags=1).replace(b'"id": "', b'"id": ' + nested(levels), 1))
RAWS = ENVELOPES | LIKE_AN_ENVELOPE | JSON.map(written) | some.binary(max_size=60) | DEEP
HEADER_NAMES = json.loads(a_send())["headers"].keys() | {"sms_contract", "compression"}
SHORTEST = [b"", b"null", b"{}", b"[]", b'"\\ud800"', b"\xff\xfe", b"1e999"]


def nested(levels: int) -> bytes:
    """So many lists within each other, and the beginning of a word."""
    return b"[" * levels + b"]" * levels + b', "other": "'


def with_embed(raw: bytes, embed: Any) -> bytes:
    """The same order, with this as the third part of its body."""
    message = json.loads(raw)
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    return written(message | {"body": base64.b64encode(written([args, kwargs, embed])).decode()})


@given(raw=RAWS)
def test_an_envelope_that_cannot_be_read_is_refused_and_nothing_worse(raw: bytes) -> None:
    try:
        envelope = unpack(raw)
    except OrderRefused as refused:
        assert refused.reason.isidentifier()
        return

    assert envelope.raw == raw
    assert envelope.task_id


@more(by=10)
@given(raw=RAWS)
@example(raw=a_send().replace(b'"id": "', b'"id": 18446744073709551616, "was": "', 1))
@example(raw=a_send().replace(b'"id": "', b'"id": [1e400, -9223372036854775809], "was": "', 1))
@example(raw=an_envelope("sms.send", 998_901_234_567_000_000_000_000, "Hello", tags={"a": -(10**30)}))
@example(raw=an_envelope("sms.send", 1, "Hello", headers={"sms_contract": -(2**63) - 1, "expires": [2**64]}))
def test_an_order_is_unpacked_as_the_standard_library_reads_it(raw: bytes) -> None:
    found = unpacked(raw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelopes, "parsed", lambda written, **_: json.loads(written))
        expected = unpacked(raw)
    assert found == expected


@given(producer=some.text(), key=some.text(), task_id=some.uuids(), position=some.integers(0, 999))
def test_uids_are_those_that_rfc_4122_makes_of_names(
    producer: str, key: str, task_id: uuid.UUID, position: int
) -> None:
    of_key, of_part = orders.uid_of_key(producer, key), orders.uid_of_part(str(task_id), position)

    assert of_key == str(uuid.uuid5(orders.NAMESPACE, f"{producer}\0{key}"))
    assert of_part == str(uuid.uuid5(task_id, str(position)))


@given(raw=RAWS)
def test_the_names_of_a_broken_message_are_words_or_nothing(raw: bytes) -> None:
    assert {type(name) for name in task_id_of(raw)} <= {str, type(None)}


@given(version=VERSION, embed=FOLLOWERS | JSON)
def test_whatever_the_version_and_what_is_to_follow_an_order_is_read_or_refused(version: Any, embed: Any) -> None:
    envelope = Envelope("sms.send", "my-id", ["998901234567", "Hello"], {}, embed=embed, contract=version)
    try:
        refuse_unsupported(envelope)
        expected = set()
    except OrderRefused as refused:
        assert refused.reason in {"contract_unsupported", "canvas_unsupported"}
        expected = {refused.reason}

    found = list(orders.read(envelope, some_terms()))

    assert expected == {one.reason for one in found if isinstance(one, orders.Refusal)}


@given(headers=some.dictionaries(some.sampled_from([*HEADER_NAMES]) | WORDS, VERSION | TIME | WORDS, max_size=4))
def test_whatever_stands_in_the_headers_an_order_is_read_or_refused(headers: dict[str, Any]) -> None:
    try:
        envelope = unpack(a_send(headers=headers))
    except OrderRefused as refused:
        assert refused.reason in {"not_protocol_2", "compressed"}
        return

    assert list(orders.read(envelope, some_terms()))


@given(call=CALLS, task_id=TASK_IDS, eta=TIME, expires=TIME)
def test_every_order_that_could_be_unpacked_is_read_as_at_least_one(
    call: tuple[str, list[Any], dict[str, Any]], task_id: str, eta: Any, expires: Any
) -> None:
    found = list(orders.read(Envelope(call[0], task_id, call[1], call[2], eta, expires, b"[]"), some_terms()))

    assert found


@fewer(by=2)
@given(raw=RAWS)
def test_every_order_whatever_it_is_leaves_a_row(sessions: Sessions, raw: bytes) -> None:
    intake = an_intake(emptied(sessions))

    taken = intake.take_raw([raw], Lane.NORMAL)
    if taken.unmatched:
        intake.give_up_cancels(taken.unmatched, Lane.NORMAL)

    assert rows(sessions) >= (0 if may_store_nothing(raw) else 1)
    assert rows(sessions) >= taken.stored + taken.refused
    assert "not_readable" not in {one.reason for one in all_of(sessions, RefusedIntake)}


@fewer(by=4)
@given(raws=some.lists(RAWS.filter(lambda raw: task_of(raw) != "sms.unblock"), max_size=4))
def test_orders_taken_twice_are_stored_once(sessions: Sessions, raws: list[bytes]) -> None:
    an_intake(emptied(sessions)).take_raw(raws, Lane.NORMAL)
    before = rows(sessions)

    again = an_intake(sessions).take_raw(raws, Lane.NORMAL)

    assert (0, 0, before) == (again.stored, again.refused, rows(sessions))


@fewer(by=200)
@given(broken=some.lists(RAWS, min_size=3, max_size=12), place=some.integers(0, 999))
def test_a_good_order_among_a_thousand_broken_ones_is_stored(
    sessions: Sessions, broken: list[bytes], place: int
) -> None:
    emptied(sessions)
    raws = [broken[number % len(broken)] + b" " * (number // len(broken)) for number in range(999)]

    an_intake(sessions).take_raw([*raws[:place], a_send(task_id="the good one"), *raws[place:]], Lane.NORMAL)

    assert [one.text for one in all_of(sessions, Message) if one.uid == "the good one"] == ["Your code is 4821"]


@pytest.mark.parametrize("raw", SHORTEST, ids=repr)
def test_the_shortest_nonsense_is_kept(sessions: Sessions, raw: bytes) -> None:
    taken = an_intake(sessions).take_raw([raw], Lane.NORMAL)

    found: list[Any] = all_of(sessions, RefusedIntake)
    assert (taken.refused, len(found)) == (1, 1)


@pytest.mark.parametrize("word", ODD, ids=repr)
def test_an_odd_word_in_every_place_of_an_order_costs_no_other(sessions: Sessions, word: str) -> None:
    odd = [a_send(**{name: word}) for name in ("nickname", "key", "producer", "send_at", "expires_at", "tags")]
    odd += [an_envelope("sms.cancel", producer=word, key=word), an_envelope("sms.cancel", word)]
    odd += [an_envelope("sms.send_many", [{"phone": word}, word], task_id=word or "x"), a_send(task_id=word or "x")]
    odd += [an_envelope("sms.resolve", [word], word), a_send(word), a_send(text=word)]

    an_intake(sessions).take_raw([*odd, a_send(task_id="the good one")], Lane.NORMAL)

    assert "the good one" in {one.uid for one in all_of(sessions, Message)}
    assert "not_readable" not in {one.reason for one in all_of(sessions, RefusedIntake)}


def unpacked(raw: bytes) -> str:
    """All that an envelope holds, kinds of numbers included but in its headers, or why it holds nothing."""
    try:
        found = unpack(raw)
    except OrderRefused as refused:
        return f"{refused.reason}: {refused.explanation}"
    held = {name: getattr(found, name) for name in found.__slots__}
    for name in ("eta", "expires", "contract", "traceparent"):
        held[name] = json.loads(json.dumps(held[name]), parse_int=float)
    return repr(held)


def rows(sessions: Sessions) -> int:
    return sum(len(all_of(sessions, table)) for table in (Message, RefusedIntake, Block))


def may_store_nothing(raw: bytes) -> bool:
    """Whether it is about what may not be there."""
    return task_of(raw) in ("sms.resolve", "sms.unblock")


def task_of(raw: bytes) -> Any:
    try:
        return json.loads(raw)["headers"]["task"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
