"""A message's story in words."""

from collections.abc import Callable, Mapping
from datetime import datetime
from string import Formatter
from typing import Any

from worker.store.story import Event

SENTENCES: Mapping[str, str] = {
    "order_refused": "An order of this uid was refused ({reason}): {explanation}",
    "ordered": "Ordered by {producer} on lane {lane} and stored (parts: {parts}, encoding {encoding}).",
    "text_changed": "Its text was changed, so that it takes fewer parts.",
    "sent_elsewhere": "It goes to another number than was ordered: SMS_STAGING_RECIPIENTS is set.",
    "held_back": "Held back until {until}.",
    "earlier_batches": "Earlier batches that gave it back or were cut off: {batches}.",
    "claimed": "Claimed into batch {batch_id} by worker {worker} (others in it: {others}).",
    "post_not_begun": "The post of batch {batch_id} has not begun: nothing has left yet.",
    "post_began": "The post of batch {batch_id} began.",
    "answered": "The gateway answered batch {batch_id}: {accepted} accepted, {refused} refused.",
    "accepted": "The gateway accepted it.",
    "batch_refused": "The gateway refused the whole batch {batch_id}.",
    "split": "The gateway refused the whole batch {batch_id}: it is posted again in halves, to find the guilty one.",
    "released": "The gateway certainly took nothing of batch {batch_id}: queued again.",
    "cut_off": "The post of batch {batch_id} was cut off: nobody knows whether the gateway took it.",
    "refused_alone": "The gateway refused this message.",
    "accepted_late": "The gateway's answer came after somebody had decided: it took the message.",
    "reported": "The gateway reported “{gateway_status}”.",
    "decided_resend": "{who} decided to let it be posted again.",
    "decided_drop": "{who} decided to give it up.",
    "decided_confirm": "A {who} proved that the gateway had taken it.",
    "decided_cancel": "{who} cancelled it.",
    "decided_ask": "{who} had the gateway asked once more.",
    "decided_recover": "{who} restored the database from a backup: it may have been posted since.",
    "decided_retry": "{who} had its producer told again.",
    "delivered": "Delivered: the phone has it, says the gateway.",
    "failed": "Failed, for good.",
    "unknown": "Given up as unknown: no final report came in time.",
    "cancelled": "Cancelled before it was posted.",
    "expired": "Expired before it was posted.",
    "callback_owed": "{receiver} is to be told: {told}.",
    "callback_retried": "{who} had {receiver} told again: {told}.",
    "callback_told": "{receiver} was told: {told}.",
    "callback_failed": "{receiver} could not be told for a day: {told}.",
    "callback_next": "{receiver} is told next: {told}.",
    "waits": "It waits for its batch on lane {lane}, from this time on.",
    "expires": "It expires if it is not posted by then.",
    "account_held": "Nothing is posted: {who} paused the account. sms resume goes on.",
    "account_paused": "Nothing is posted: the gateway does not let the account post. See sms doctor.",
    "circuit_open": "The gateway is in trouble: one probe at a time is posted until it answers.",
    "answer_awaited": "If batch {batch_id} is not answered by then, it is unconfirmed.",
    "next_poll": "The gateway is asked next (times asked so far: {polls}).",
    "to_decide": "It waits for a person: sms unconfirmed resend {uid}, or sms unconfirmed drop {uid}.",
    "to_ask": "Nothing more happens by itself; sms ask {uid} asks the gateway once more.",
}
CLAUSES: Mapping[str, str] = {  # of what is known besides, behind the sentence
    "key": "key {key}",
    "nickname": "sender {nickname}",
    "reason": "reason: {reason}",
    "error_no": "error {error_no}",
    "error_text": "“{error_text}”",
    "http_status": "HTTP {http_status}",
    "answer_ms": "{answer_ms} ms",
    "request_id": "request {request_id}",
    "message_id": "message {message_id}",
    "state": "it means {state}",
    "billed_parts": "billed parts: {billed_parts}",
    "delivered": "at the phone {delivered}",
    "attempts": "attempts: {attempts}",
}


def told(
    event: Event, translate: Callable[[str], str] = str, *, moment: Callable[[datetime], str] = datetime.isoformat
) -> str:
    """*event* as a sentence, by templates that *translate* may translate; *moment* writes instants.

    It holds words of other hands, which a terminal or a page must not obey.

    >>> from datetime import UTC
    >>> told(Event(datetime(2026, 11, 30, tzinfo=UTC), "cut_off", {"batch_id": 7, "reason": "timeout"}))
    'The post of batch 7 was cut off: nobody knows whether the gateway took it. (reason: timeout)'
    """
    template = SENTENCES.get(event.kind, event.kind)
    known = {name: one for name, one in event.fields.items() if one is not None}
    written = {name: moment(one) if isinstance(one, datetime) else one for name, one in known.items()}
    in_sentence = {name for _, name, _, _ in Formatter().parse(template) if name}
    besides = [
        translate(CLAUSES[name]).format(**{name: one})
        for name, one in written.items()
        if name in CLAUSES and name not in in_sentence
    ]
    sentence = translate(template).format_map(_OrDash(written))
    return f"{sentence} ({', '.join(besides)})" if besides else sentence


class _OrDash(dict[str, Any]):
    """What is not known is a dash."""

    def __missing__(self, key: str) -> str:
        return "-"
