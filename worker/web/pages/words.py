"""What the pages say about a reason, a kind or a number that stands in the database as a word."""

from collections.abc import Mapping
from typing import NamedTuple

from worker.gateway.replies import WORDS
from worker.web.templating import _, lazy


class Said(NamedTuple):
    """A sentence, and what to do; the latter is empty where there is nothing to do."""

    sentence: str
    remedy: str


VERDICTS: Mapping[str, str] = {
    "going": lazy("Messages go out."),
    "slow": lazy("Messages go out slowly."),
    "stopped": lazy("Nothing goes out."),
    "idle": lazy("Nothing waits to go out."),
}
_DOCTOR = lazy("Run sms doctor: it says what is wrong on the way to the gateway. The messages wait meanwhile.")
_MORE = lazy("Run sms doctor; let more go out at once: SMS_GATEWAY_CONNECTIONS, or one more worker.")
REASONS: Mapping[str, Said] = {
    "held": Said(lazy("A person paused posting. Messages are kept meanwhile."), lazy("Resume it below.")),
    "paused": Said(
        lazy("The vendor refuses the account. One message at a time tries whether it works again."),
        lazy("Put it right with the vendor; then resume below, and it is tried at once."),
    ),
    "circuit_open": Said(lazy("The gateway does not answer well. It is tried again by itself."), _DOCTOR),
    "no_worker": Said(lazy("No worker is alive."), lazy("Start one: celery -A worker worker")),
    "no_bell": Said(
        lazy("Workers are alive, but nothing wakes them: beat does not run, or Redis does not answer."),
        lazy("Start one beat: celery -A worker beat. sms doctor looks at Redis."),
    ),
    "stuck": Said(
        lazy("Messages wait, and none of them went out over the last minutes."),
        lazy("Run sms doctor; then read the log."),
    ),
    "cut_off": Said(lazy("Most calls of the gateway break off or do not reach it."), _DOCTOR),
    "otp_waits": Said(lazy("A code waits longer than 30 seconds."), _MORE),
    "normal_waits": Said(lazy("A message of the normal lane waits longer than 10 minutes."), _MORE),
    "quiet_hours": Said(lazy("All that waits has quiet hours now."), ""),
    "nothing_waits": Said(lazy("Everything that was due has been posted."), ""),
    "posting": Said(lazy("Workers are alive, and the gateway takes what they post."), ""),
}
KINDS: Mapping[str, Said] = {
    "account held": Said(lazy("Posting is paused by a person"), lazy("Nothing is posted until somebody resumes it.")),
    "account paused": Said(
        lazy("The vendor refuses the account"), lazy("Put it right with the vendor; resuming tries it at once.")
    ),
    "circuit open": Said(lazy("The gateway does not answer well"), lazy("It is tried again by itself.")),
    "unconfirmed": Said(
        lazy("Nobody knows whether these arrived"),
        lazy("The post was cut off. Look whether the phones have them; then resend or drop."),
    ),
    "callback failed": Said(lazy("A producer could not be told"), lazy("Mend the receiver; then have it told again.")),
    "order refused": Said(
        lazy("Orders were refused in the last 24 hours"),
        lazy("The order says why, and whether the producer or a rule is to be mended."),
    ),
}
RESTORED = Said(
    lazy("The database was restored from a backup: what was sent since then is not in it."),
    lazy("Do not just resume: do below what is said there."),
)
RECOVER = lazy("The database came from a backup. Stop all workers, then run: sms recover --since TIME")
ERRORS: Mapping[int, str] = {
    100: lazy("the login or the password is missing: SMS_GATEWAY_LOGIN, SMS_GATEWAY_PASSWORD"),
    101: lazy("the login or the password is wrong: SMS_GATEWAY_LOGIN, SMS_GATEWAY_PASSWORD"),
    102: lazy("the vendor has blocked the account"),
    103: lazy("the account's limit is used up"),
    200: lazy("the gateway could not read the request"),
    201: lazy("the gateway found the request malformed"),
    202: lazy("the sender name was not set"),
    203: lazy("the sender name is not ours"),
    300: lazy("it is not a phone number"),
    400: lazy("the gateway does not know this request_id, or not yet"),
}
REFUSALS: Mapping[str, str] = {
    "phone_missing": lazy("Give a mobile number."),
    "phone_invalid": lazy("This is not a possible mobile number."),
    "phone_foreign": lazy("This is a number of a country that is not allowed (SMS_COUNTRIES)."),
    "phone_fixed_line": lazy("This is a fixed line, which takes no SMS."),
    "phone_not_allowed": lazy("Only the numbers of SMS_ALLOWED_RECIPIENTS are sent to."),
    "phone_blocked": lazy("This number is on the do-not-send list of the lane."),
    "phone_capped": lazy("This number has had as many messages within an hour as are allowed."),
    "producer_capped": lazy("As many messages were sent today as are allowed."),
    "text_missing": lazy("Write the words of the SMS."),
    "text_invalid": lazy("The text holds a character that no SMS can carry."),
    "text_too_long": lazy("The text has more parts than the lane allows."),
    "duplicate": lazy("The same text went to this number a moment ago."),
    "key_reused": lazy("There is a message with this key already, with another number or text."),
    "send_at_invalid": lazy("This is not a time that can be kept."),
    "expires_at_invalid": lazy("It must lie in the future, and after the time to send."),
    "task_unknown": lazy("No worker knows a task of this name."),
    "nickname_invalid": lazy("Give 1 to 255 characters."),
    "key_invalid": lazy("Give 1 to 255 characters."),
}
SAY_ALL = frozenset(
    {"phone_missing", "phone_fixed_line", "phone_blocked", "text_missing", "key_reused", "key_invalid"}
)  #: refusals whose explanation has nothing to add to these words
STATUSES: Mapping[str, str] = {
    "delivered": lazy("The phone has it."),
    "failed": lazy("It did not arrive, and will not."),
    "": lazy("It is on its way, says the gateway."),
}


def error_words(error_no: int | None) -> str:
    """What an error number of the gateway's means."""
    if error_no is None:
        return _("no answer that could be read")
    known = ERRORS.get(error_no)
    return _("a number that nobody has met before") if known is None else str(known)


def all_errors_have_words() -> bool:
    """Whether every documented number is translated."""
    return set(WORDS) == set(ERRORS)


def duration(seconds: float | None) -> str:
    """So long, roughly, as people say it.

    >>> [duration(seconds) for seconds in (None, 0.4, 59, 61, 3_700, 200_000)]
    ['-', '0 s', '59 s', '1 min', '1 h 1 min', '2 d 7 h']
    """
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:  # noqa: PLR2004
        return _("%(seconds)s s") % {"seconds": whole}
    minutes, hours, days = whole // 60, whole // 3_600, whole // 86_400
    if not hours:
        return _("%(minutes)s min") % {"minutes": minutes}
    if not days:
        return _("%(hours)s h %(minutes)s min") % {"hours": hours, "minutes": minutes % 60}
    return _("%(days)s d %(hours)s h") % {"days": days, "hours": hours % 24}
