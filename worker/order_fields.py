"""The tasks of producers, field by field: these models check every order, and docs/schemas is generated from them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeGuard, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from models.lifecycle import Lane
from worker.errors import OrderRefused
from worker.phone import normalised
from worker.storable import is_storable, storable

DEFAULT_PRODUCER = "default"
WORD_CHARACTERS = 255  #: the most in a uid, key, producer or nickname
MANY_MESSAGES = 1_000
CALLBACK_FORMS = 'callback: give {"task": NAME, "queue": QUEUE} or {"url": "https://…"}.'
LONGEST_SPREAD = timedelta(days=30)
NEVER = timedelta(0)
# Lists that workers live on: one event among Celery's own keys (unacked…, _kombu.…) ends every worker of the broker.
OUR_QUEUES = re.compile(r"^(sms\.(otp|normal|bulk|submission|polling|callbacks|upkeep)\Z|sms:|_kombu\.)|unacked|\x06")
ISO_8601 = "ISO 8601; without an offset it is read in the gateway's time zone."

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Caps:
    """How much is accepted; 0 means no cap."""

    hourly_per_phone: int = 0  #: messages of the lane to one number
    daily_per_producer: int = 0  #: messages of all lanes, in a day of the terms' zone
    duplicate_window: timedelta = NEVER  #: the same phone and text again within it is a duplicate


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order is read against: the lane it came by, the present, and what the settings say."""

    lane: Lane
    now: datetime
    zone: ZoneInfo
    nickname: str | None
    max_parts: int
    signs_callbacks: bool
    plain_callbacks: bool = True  #: whether they may go by plain http
    expires_after: timedelta = NEVER  #: of what names no expires_at, counted from its send_at; none: never
    fold_text: bool = False
    transliterate_text: bool = False
    countries: Sequence[str] = ("UZ",)
    allowed_recipients: Sequence[str] = ()  #: none: everybody
    staging_recipients: Sequence[str] = ()  #: none: whoever is ordered
    caps: Caps = Caps()


def _terms(info: ValidationInfo) -> Terms:
    terms: Terms = info.context  # type: ignore[assignment]  # see `checked`
    return terms


def is_word(value: object) -> TypeGuard[str]:
    """Whether *value* can be a uid, key, producer or nickname."""
    return isinstance(value, str) and 0 < len(value) <= WORD_CHARACTERS and is_storable(value)


def _words(value: Any) -> str:
    if not is_word(value):
        raise PydanticCustomError("invalid", "give a text of 1 to {most} characters", {"most": WORD_CHARACTERS})
    return value


def _phone(value: Any, info: ValidationInfo) -> str:
    try:
        return normalised(value, _terms(info).countries)
    except OrderRefused as refused:
        raise PydanticCustomError(refused.reason, refused.explanation.removeprefix("phone: ")) from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise PydanticCustomError("text_missing", "give the words of the SMS")
    if not is_storable(value):
        raise PydanticCustomError("text_invalid", "it holds NUL or half a surrogate pair, which no SMS can carry")
    return value


def _moment(value: Any, info: ValidationInfo) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=_terms(info).zone)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise PydanticCustomError("time_invalid", "give ISO 8601 such as 2026-11-30T09:00:00+05:00") from None


def _seconds(value: Any) -> timedelta | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_SPREAD.total_seconds():
        raise PydanticCustomError("invalid", "give seconds: more than 0, and at most 30 days of them")
    return timedelta(seconds=value)


Words = Annotated[str, BeforeValidator(_words), Field(json_schema_extra={"minLength": 1, "maxLength": WORD_CHARACTERS})]
Phone = Annotated[str, BeforeValidator(_phone, json_schema_input_type=Annotated[str, Field(min_length=1)] | int)]
Text = Annotated[str, BeforeValidator(_text), Field(json_schema_extra={"pattern": r"\S"})]
# For the schemas: our validators see the value first, and what they return is right already.
_Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
_Span = Annotated[float, Field(gt=0, le=LONGEST_SPREAD // timedelta(seconds=1))]
Moment = Annotated[datetime | None, BeforeValidator(_moment, json_schema_input_type=_Instant | None)]
Seconds = Annotated[timedelta | None, BeforeValidator(_seconds, json_schema_input_type=_Span | None)]


def is_of_our_own(queue: str) -> bool:
    """Whether nobody may be told by *queue*: we may write there, and producers by us must not."""
    return OUR_QUEUES.search(queue) is not None


def _queue(queue: str) -> str:
    if is_of_our_own(queue):
        raise PydanticCustomError("invalid", "the queue is one of the SMS workers or of Celery; name one of your own")
    return queue


class CeleryCallback(BaseModel):
    """Tell by sending this Celery task to this queue."""

    model_config = ConfigDict(extra="forbid")
    task: Words = Field(description="Its name.", examples=["shop.sms_changed"])
    queue: Annotated[Words, AfterValidator(_queue)] | None = Field(
        None, description="Of our broker, but none of ours; celery if not given.", examples=["shop"]
    )


class UrlCallback(BaseModel):
    """Tell by a signed post to this address."""

    model_config = ConfigDict(extra="forbid")
    url: HttpUrl = Field(description="A public https address.", examples=["https://shop.example/sms"])


class Sms(BaseModel):
    """The fields of one SMS; what else comes with it is kept in its tags."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)
    phone: Phone = Field(
        description="A mobile number as people write it, as text or number.",
        examples=["998901234567", "+998 90 123-45-67", 998901234567],
    )
    text: Text = Field(
        description="The words of the SMS, of no more parts than the lane allows.", examples=["Your code is 4821"]
    )
    nickname: Words | None = Field(None, description="The sender name.", examples=["SHOP"])
    key: Words | None = Field(
        None,
        description="The producer's own name for it: the same producer and key are the same message for ever.",
        examples=["order-1734"],
    )
    producer: Words = Field(DEFAULT_PRODUCER, description="Which application orders.", examples=["shop"])
    send_at: Moment = Field(
        None, description=f"Not to be posted before. {ISO_8601}", examples=["2026-11-30T09:00:00+05:00"]
    )
    expires_at: Moment = Field(
        None, description=f"Not to be posted from then on. {ISO_8601}", examples=["2026-11-30T09:05:00+05:00"]
    )
    spread_seconds: Seconds = Field(
        None, description="Post at a moment of its own in so long a window from send_at on.", examples=[7200]
    )
    callback: Annotated[CeleryCallback | UrlCallback, Field(union_mode="left_to_right")] | None = Field(
        None, description="Whom to tell what becomes of it."
    )
    tags: Any = Field(
        None, description="An object of your own, stored beside the message.", examples=[{"campaign": "spring"}]
    )


class ManySms(BaseModel):
    """Many SMS in one order; what else is named is a default for all of them."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)
    messages: list[Any] = Field(min_length=1, max_length=MANY_MESSAGES, description="Each with the fields of sms.send.")


def _one_of_both(schema: dict[str, Any]) -> None:
    """A cancel names its message in one of two ways."""
    schema["anyOf"] = [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("uid", "key")]


class CancelFields(BaseModel):
    """A message that is to be stopped if it is not posted yet, by its uid, or by producer and key."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, json_schema_extra=_one_of_both)
    uid: Words | None = Field(None, description="The message's uid.", examples=["0195a3f0-6c1e-4d0f-9b1f-0d6a3f6a7c11"])
    producer: Words = Field(DEFAULT_PRODUCER, description="Which application ordered it.", examples=["shop"])
    key: Words | None = Field(None, description="The producer's own name for it.", examples=["order-1734"])


class ResolveFields(BaseModel):
    """What to do with unconfirmed messages."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)
    uids: list[Words] = Field(
        min_length=1,
        description="Uids of unconfirmed messages; others are left alone.",
        examples=[["0195a3f0-6c1e-4d0f-9b1f-0d6a3f6a7c11"]],
    )
    decision: Literal["resend", "drop"] = Field(description="Post again, or give up. Either may be wrong.")


class BlockFields(BaseModel):
    """Numbers for the do-not-send list, or to be taken off it."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)
    phones: list[Phone] = Field(
        min_length=1,
        max_length=MANY_MESSAGES,
        description="Numbers as people write them.",
        examples=[["998901234567"]],
    )
    lanes: list[Lane] = Field(list(Lane), min_length=1, description="By which they get nothing; all if not given.")
    reason: Words | None = Field(None, description="Why, for those who ask.", examples=["asked for it"])


def checked(model: type[T], fields: dict[str, Any], terms: Terms, *, defaults: dict[str, Any] | None = None) -> T:
    """The fields of a task, put in order. Raises `OrderRefused` for the first that is wrong.

    What is None counts as not given; *defaults* are for what is not.
    """
    try:
        found: T = model.__pydantic_validator__.validate_python((defaults or {}) | given(fields), context=terms)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
    except RecursionError:
        raise OrderRefused("order_invalid", "The order is nested too deeply.") from None
    else:
        return found
    name = str(first["loc"][0]) if first["loc"] else "order"
    if name == "callback" and first["type"] in {"model_type", "missing", "extra_forbidden"}:
        raise OrderRefused("callback_invalid", CALLBACK_FORMS)
    reason = first["type"] if first["type"].startswith(("phone_", "text_")) else f"{name}_invalid"
    raise OrderRefused(reason, f"{name}: {first['msg'].rstrip('.')}.")


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """*fields* without what is None, which counts as not given."""
    return {name: value for name, value in fields.items() if value is not None} if None in fields.values() else fields


def tags_of(sms: Sms) -> dict[str, Any]:
    """The producer's own words: its tags, and every keyword we do not know."""
    if not sms.model_extra and sms.tags is None:
        return {}
    named = sms.tags if isinstance(sms.tags, dict) else {} if sms.tags is None else {"tags": sms.tags}
    tags: dict[str, Any] = storable({**(sms.model_extra or {}), **named})  # odd ones never cost a message
    return tags


def callback_of(sms: Sms, terms: Terms) -> dict[str, Any] | None:
    """Whom to tell. Raises `OrderRefused` for an address where nothing could be signed."""
    if sms.callback is None:
        return None
    if isinstance(sms.callback, UrlCallback) and not terms.signs_callbacks:
        raise OrderRefused("callback_invalid", "callback: an address needs SMS_CALLBACK_SECRET set at the worker.")
    if isinstance(sms.callback, UrlCallback) and sms.callback.url.scheme != "https" and not terms.plain_callbacks:
        raise OrderRefused("callback_invalid", "callback: only an https address is told what becomes of an SMS.")
    return sms.callback.model_dump(mode="json", exclude_none=True)


def readable_callback(callback: Any) -> dict[str, Any] | None:
    """The callback of an order that was refused for something else, if it is one."""
    try:
        return CeleryCallback.model_validate(callback).model_dump(exclude_none=True)
    except ValidationError:
        pass
    try:
        return UrlCallback.model_validate(callback).model_dump(mode="json")
    except ValidationError:
        return None
