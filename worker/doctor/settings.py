"""Whether the settings are complete, and which of them are dangerous."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from models.lifecycle import Lane
from worker.doctor.check import Check, Found, Ground, Outcome, fault, note, ok, warning
from worker.settings import LOOPBACK, Settings

SHORT_READ_SECONDS = 10
SHORT_RETENTION_DAYS = 7
WORST_FIRST = (Outcome.WARNING, Outcome.NOTE)


def _complete(ground: Ground) -> Found:
    if ground.read is None:
        return fault(ground.complaint, "correct it in the environment, .env or the folder of secret files")
    given = len(ground.settings.model_fields_set)
    return ok(f"all are there: {given} are given, the others have their defaults")


def _risky(ground: Ground) -> Found:
    risks = [*_where_it_goes(ground.settings), *_who_may_read_it(ground.settings), *_what_is_lost(ground.settings)]
    for worst in WORST_FIRST:
        if any(outcome == worst for outcome, _ in risks):
            words = "; ".join(said for _, said in risks)
            return warning(words) if worst == Outcome.WARNING else note(words)
    return ok("none of them is dangerous")


def _where_it_goes(settings: Settings) -> Iterator[tuple[Outcome, str]]:
    if settings.staging_recipients:
        yield Outcome.WARNING, "SMS_STAGING_RECIPIENTS sends every SMS to other numbers than were ordered"
    if settings.allowed_recipients:
        yield Outcome.WARNING, "SMS_ALLOWED_RECIPIENTS lets only some numbers have any SMS"
    if urlsplit(settings.gateway_url).hostname in LOOPBACK:
        yield Outcome.NOTE, "SMS_GATEWAY_URL is on this machine: a sandbox, which sends no SMS"


def _who_may_read_it(settings: Settings) -> Iterator[tuple[Outcome, str]]:
    gateway, redis = urlsplit(settings.gateway_url), urlsplit(settings.redis_url)
    if gateway.scheme == "http" and gateway.hostname not in LOOPBACK:
        yield Outcome.WARNING, "SMS_GATEWAY_URL is http: login, password, phones and texts cross the network in clear"
    if settings.broker_is_redis and redis.hostname not in LOOPBACK and not redis.password:
        yield Outcome.WARNING, "SMS_REDIS_URL has no password: whoever reaches that Redis reads orders, and makes them"
    if settings.callback_private_addresses:
        yield Outcome.NOTE, "SMS_CALLBACK_PRIVATE_ADDRESSES lets producers have this house call any private address"


def _what_is_lost(settings: Settings) -> Iterator[tuple[Outcome, str]]:
    for lane in Lane:
        if (policy := settings.unconfirmed_policy(lane)) != "hold":
            twice = "may post an SMS twice" if policy == "resend" else "gives up SMS that nobody knows of"
            yield Outcome.NOTE, f"SMS_UNCONFIRMED_{lane.upper()} is {policy}, which {twice}"
    if settings.gateway_read_timeout_seconds < SHORT_READ_SECONDS:
        yield Outcome.WARNING, "SMS_GATEWAY_READ_TIMEOUT_SECONDS is short: slow answers leave messages in doubt"
    if 0 < settings.retention_days < SHORT_RETENTION_DAYS:
        yield Outcome.NOTE, f"SMS_RETENTION_DAYS deletes messages {settings.retention_days} days after their end"


CHECKS = (
    Check(
        "settings.complete",
        "Are all settings there, known and allowed?",
        "With a wrong or missing setting nothing starts.",
        "put right what is named; .env.example says what each setting means",
        _complete,
        needs_settings=False,
    ),
    Check(
        "settings.risky",
        "Is a setting dangerous?",
        "Some values are right on a test machine and cost money or data elsewhere.",
        "change what is named, unless you mean it",
        _risky,
    ),
)
