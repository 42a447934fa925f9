"""The fields of one SMS as producers write them, checked."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, HttpUrl, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError

from models.lifecycle import Lane
from worker.errors import OrderRefused
from worker.phone import normalised
from worker.storable import is_storable, storable

DEFAULT_PRODUCER = "default"
WORD_CHARACTERS = 255  #: the most in a uid, key, producer or nickname


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order is read against: the lane it came by, the present, and what the settings say."""

    lane: Lane
    now: datetime
    zone: ZoneInfo
    nickname: str | None
    max_parts: int
    signs_callbacks: bool


def _words(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > WORD_CHARACTERS or not is_storable(value):
        raise PydanticCustomError("invalid", "give a text of 1 to {most} characters", {"most": WORD_CHARACTERS})
    return value


def _phone(value: Any) -> str:
    try:
        return normalised(value)
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
        zone: ZoneInfo = info.context["terms"].zone  # type: ignore[index]
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise PydanticCustomError("time_invalid", "give ISO 8601 such as 2026-11-30T09:00:00+05:00") from None


class CeleryCallback(BaseModel):
    """Tell by sending this Celery task to this queue."""

    model_config = ConfigDict(extra="forbid")
    task: Annotated[str, BeforeValidator(_words)]
    queue: Annotated[str, BeforeValidator(_words)] | None = None


class UrlCallback(BaseModel):
    """Tell by a signed post to this address."""

    model_config = ConfigDict(extra="forbid")
    url: HttpUrl


Words = Annotated[str, BeforeValidator(_words)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]


class Sms(BaseModel):
    """The fields of one SMS; what else comes with it is kept in its tags."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)
    phone: Annotated[str, BeforeValidator(_phone)]
    text: Annotated[str, BeforeValidator(_text)]
    nickname: Words | None = None
    key: Words | None = None
    producer: Words = DEFAULT_PRODUCER
    send_at: Moment = None
    expires_at: Moment = None
    callback: CeleryCallback | UrlCallback | None = None
    tags: Any = None


def checked(fields: dict[str, Any], terms: Terms) -> Sms:
    """The fields of an SMS, put in order. Raises `OrderRefused` for the first that is wrong."""
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return Sms.model_validate({"phone": None, "text": None} | given, context={"terms": terms})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "order"
        reason = first["type"] if first["type"].startswith(("phone_", "text_")) else f"{name}_invalid"
        raise OrderRefused(reason, f"{name}: {first['msg'].rstrip('.')}.") from None
    except RecursionError:
        raise OrderRefused("order_invalid", "The order is nested too deeply.") from None


def tags_of(sms: Sms) -> dict[str, Any]:
    """The producer's own words: its tags, and every keyword we do not know."""
    named = sms.tags if isinstance(sms.tags, dict) else {} if sms.tags is None else {"tags": sms.tags}
    tags: dict[str, Any] = storable({**(sms.model_extra or {}), **named})  # odd ones never cost a message
    return tags


def callback_of(sms: Sms, terms: Terms) -> dict[str, Any] | None:
    """Whom to tell. Raises `OrderRefused` for an address where nothing could be signed."""
    if isinstance(sms.callback, UrlCallback) and not terms.signs_callbacks:
        raise OrderRefused("callback_invalid", "callback: an address needs SMS_CALLBACK_SECRET set at the worker.")
    return sms.callback.model_dump(mode="json", exclude_none=True) if sms.callback else None


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
