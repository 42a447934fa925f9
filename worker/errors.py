"""Errors whose class tells the caller what to do next."""

from datetime import timedelta
from typing import Any


class SmsError(Exception):
    """Anything this project raises on purpose."""


class GatewayError(SmsError):
    """A call to the gateway that brought no answer about messages."""

    def __init__(
        self,
        reason: str,
        *,
        error_no: int | None = None,
        http_status: int | None = None,
        answer: dict[str, Any] | None = None,
    ) -> None:
        """*reason* is a short word or sentence fit for a log line: no secret, phone or text ever stands in it."""
        super().__init__(reason)
        self.reason = reason
        self.error_no = error_no
        self.http_status = http_status
        self.answer = answer


class GatewayUnavailable(GatewayError):
    """The request surely was not taken (refused connection, DNS, TLS, connect time-out): post again after a pause."""


class NeverPosted(GatewayError):
    """We did not even try, because our own time for it had run out: post again at once."""


class AccountRefused(GatewayError):
    """Nothing can be sent for now (100-103, HTTP 403): pause the account, keep every message queued, say so."""


class BatchRefused(GatewayError):
    """The request as a whole is at fault (200, 201, a number we never met): split it down to the guilty message."""


class NicknameRefused(GatewayError):
    """The nickname of the request is not ours (202, 203): its messages fail with that reason."""


class RequestIdUnknown(GatewayError):
    """Error 400 to a question: may be too early. It says nothing about the message; ask again later."""


class SubmissionUnconfirmed(GatewayError):
    """The post was cut off: the request may be on its way. Never post it again blindly."""


class NotRecorded(SubmissionUnconfirmed):
    """A mistake of ours keeps the gateway's answer from being stored; that says nothing about the gateway."""


class ReportsUnavailable(GatewayError):
    """A question that got no usable answer. It says nothing about the message; ask again later."""


class SettingsError(SmsError):
    """A setting is wrong or missing; the message is the one line that says which, and what is allowed."""


class SchemaMismatch(SmsError):
    """The database's schema is not the one this code was written for; the message says what to run."""


class DatabaseRestored(SmsError):
    """The database came from a backup, and nobody has taken care of it yet; the message says what to run."""


class OrderRefused(SmsError):
    """A producer's order cannot be accepted; *reason* is a stable word, the message says what is allowed."""

    def __init__(self, reason: str, explanation: str) -> None:
        super().__init__(explanation)
        self.reason = reason
        self.explanation = explanation


class CallbackFailed(SmsError):
    """A producer could not be told this time; *reason* is fit for a log line."""

    def __init__(
        self, reason: str, *, away: bool = False, for_good: bool = False, retry_after: timedelta | None = None
    ) -> None:
        """*away*: no event would reach this receiver now. *for_good*: it wants to hear no more of this one."""
        super().__init__(reason)
        self.reason = reason
        self.away = away
        self.for_good = for_good
        self.retry_after = retry_after  #: what it asked for itself
