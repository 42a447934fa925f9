"""Every setting of the project: one frozen object, checked at start, from environment, ``.env`` and secret files."""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import SplitResult, parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as SourceError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from models.lifecycle import Lane
from worker import setting_errors
from worker.errors import OrderRefused, SettingsError
from worker.phone import normalised
from worker.setting_errors import first_line, read_env_file, refuse_unknown
from worker.setting_types import MONTH_SECONDS, Hours, Ladder, Phones, Prices, Regions, Seconds

PREFIX = setting_errors.PREFIX
SECRETS_DIR = "SMS_SECRETS_DIR"  # names the folder itself, so it cannot be one of the settings read from it
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

T = TypeVar("T", bound="DatabaseSettings")
Policy = Literal["hold", "resend", "drop"]
Cap = Annotated[int, Field(ge=0, le=1_000_000_000)]
Parts = Annotated[int, Field(ge=1, le=255)]
Lifetime = Annotated[float, Field(ge=0, le=MONTH_SECONDS)]  # seconds


class DatabaseSettings(BaseSettings):
    """Where the database is: all that a migration needs to know."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,  # no duration can be made of them
    )

    database_url: str = Field(
        "sqlite:///sms.db", repr=False, description="sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME."
    )

    @field_validator("database_url")
    @classmethod
    def _a_database(cls, url: str) -> str:
        try:
            made = make_url(url)
        except (ArgumentError, ValueError):  # the latter for a port that is no number, quoted with what stands before
            made = make_url("unreadable://")
        # A database in memory would be another one for each connection, and gone with its process.
        if made.drivername not in {"sqlite", "postgresql+psycopg"} or made.database in {None, "", ":memory:"}:
            raise ValueError("must be sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME")
        return url


class Settings(DatabaseSettings):
    """What can be set, with its unit in its name. ``SMS_`` stands before each name in the environment."""

    redis_url: str = Field(
        repr=False,
        default="redis://127.0.0.1:6379/0",
        description="Where producers put their orders. Give it a database of its own, with AOF on and noeviction.",
    )
    broker_url: str | None = Field(
        None,
        repr=False,
        description="Only for a broker that is not Redis; orders are then taken as ordinary Celery tasks.",
    )
    redis_key_prefix: str = Field(
        "", description="Set it if, and only if, the producers' Celery has the same global_keyprefix."
    )
    gateway_url: str = Field(description="The gateway's base address, as the vendor gave it: …/smsgateway.")
    gateway_login: str = Field(min_length=1, description="The vendor's login.")
    gateway_password: SecretStr = Field(min_length=1, description="The vendor's password.")
    gateway_nickname: str | None = Field(
        None, description="The sender name of messages that name none; without it they come from the short number."
    )
    gateway_timezone: str = Field(
        "Asia/Tashkent", description="IANA zone of the gateway's dates, and of producers' times that name no zone."
    )
    gateway_connect_timeout_seconds: Seconds = Field(5, description="How long to wait for a connection.")
    gateway_read_timeout_seconds: Seconds = Field(
        30,
        description="How long a post and its whole answer may take; past it nobody knows whether the batch was taken.",
    )
    gateway_requests_per_second: float = Field(
        0, ge=0, le=100_000, description="Posts and polls together, over all workers; 0 means no limit."
    )
    gateway_otp_share: float = Field(
        0.2,
        ge=0,
        le=0.9,
        description="The share of that rate which other posts leave to OTP and to status questions.",
    )
    gateway_connections: int = Field(8, ge=1, le=256, description="Posts at the same time in each worker process.")
    batch_max_messages: int = Field(50, ge=1, le=100, description="The most messages in one request to the gateway.")
    max_parts: Parts = Field(10, description="A text of more parts than this is refused.")
    max_parts_otp: Parts | None = Field(None, description="The same for the OTP lane, if it is to differ.")
    max_parts_normal: Parts | None = Field(None, description="The same for the normal lane.")
    max_parts_bulk: Parts | None = Field(None, description="The same for the bulk lane.")
    fold_text: bool = Field(
        default=False,
        description="Write apostrophes, quotes, dashes and their like plainly where that makes a text GSM 03.38.",
    )
    transliterate_text: bool = Field(
        default=False,
        description="Write Uzbek Cyrillic in Latin letters, by the official alphabet; it changes the text.",
    )
    price_per_part: float = Field(0, ge=0, le=1e9, description="What one part costs, for sums of money; 0 shows none.")
    price_per_part_of_nickname: Prices = Field(
        {}, description="The same for nicknames that cost otherwise: SHOP=95,BANK=120.5"
    )
    price_currency: str = Field("UZS", min_length=1, description="What prices are in; it is only shown.")
    expires_after_seconds_otp: Lifetime = Field(
        0,
        description="An OTP that names no expires_at expires so long after it may be posted; 0 means never.",
    )
    expires_after_seconds_normal: Lifetime = Field(0, description="The same for the normal lane.")
    expires_after_seconds_bulk: Lifetime = Field(0, description="The same for the bulk lane.")
    quiet_hours_normal: Hours | None = Field(
        None, description="When nothing of the normal lane is posted: 21:00-09:00. OTP is never quiet."
    )
    quiet_hours_bulk: Hours | None = Field(None, description="The same for the bulk lane.")
    quiet_hours_timezone: str = Field("Asia/Tashkent", description="IANA zone of the quiet hours.")
    countries: Regions = Field(
        ("UZ",),
        description="Countries whose numbers are accepted, by two letters; numbers without a code are of the first.",
    )
    allowed_recipients: Phones = Field(
        (),
        description="For tests: only these numbers are accepted (international digits, comma-separated).",
    )
    staging_recipients: Phones = Field(
        (),
        description="For staging: all SMS go to these numbers instead (international digits, comma-separated).",
    )
    hourly_cap_per_phone_otp: Cap = Field(
        0,
        description="The most OTP messages to one number within an hour, against OTP pumping; 0 means no cap.",
    )
    hourly_cap_per_phone_normal: Cap = Field(0, description="The same for the normal lane.")
    hourly_cap_per_phone_bulk: Cap = Field(0, description="The same for the bulk lane.")
    daily_cap_per_producer: Cap = Field(
        0,
        description="The most messages of each producer in a day of SMS_GATEWAY_TIMEZONE; 0 means no cap.",
    )
    duplicate_window_seconds: Lifetime = Field(
        0, description="The same phone and text again within so long is refused as a duplicate; 0 means never."
    )
    poll_ladder_seconds: Ladder = Field(
        (5, 10, 20, 30, 60, 120, 300, 600, 1800),
        description="Pauses between a message's status questions, the last for ever; comma-separated.",
    )
    poll_give_up_after_hours: float = Field(
        48, gt=0, le=24 * 366, description="Without a final report for so long a message becomes unknown."
    )
    poll_requests_per_second: float = Field(
        0, ge=0, le=100_000, description="Status questions over all workers; 0 means no limit of their own."
    )
    poll_connections: int = Field(
        16, ge=1, le=256, description="Status questions at the same time in each worker process."
    )
    unconfirmed_otp: Policy = Field("hold", description="An OTP whose post was cut off: hold, resend (once) or drop.")
    unconfirmed_normal: Policy = Field("hold", description="The same for the normal lane.")
    unconfirmed_bulk: Policy = Field("hold", description="The same for the bulk lane.")
    callback_secret: SecretStr | None = Field(
        None, description="Key of the HMAC-SHA256 signature of callbacks by https; without it they are refused."
    )
    callback_private_addresses: bool = Field(
        default=False, description="Whether callbacks may go to private addresses and by plain http."
    )
    web_password: SecretStr | None = Field(
        None, description="Opens the web page to operators; without it the page is served on 127.0.0.1 alone."
    )
    web_viewer_password: SecretStr | None = Field(
        None, description="Opens it to viewers, who see phones and texts masked and change nothing."
    )
    retention_days: int = Field(
        0, ge=0, le=36_500, description="Final messages older than this are deleted; 0 keeps them all."
    )
    log_format: Literal["json", "console"] = Field("console", description="How log lines are written.")

    @field_validator("gateway_requests_per_second", "poll_requests_per_second")
    @classmethod
    def _a_rate(cls, per_second: float) -> float:
        if 0 < per_second < 0.001:  # noqa: PLR2004
            raise ValueError("must be 0 (no limit) or at least 0.001")
        return per_second

    @field_validator("redis_url")
    @classmethod
    def _a_redis(cls, url: str) -> str:
        if _parts(url).scheme not in {"redis", "rediss"}:
            raise ValueError("must be redis://HOST:PORT/DB or rediss://…")
        return _verified_tls(url)

    @field_validator("broker_url")
    @classmethod
    def _a_broker(cls, url: str | None) -> str | None:
        if url and not _parts(url).scheme:
            raise ValueError("must be a broker's URL that Celery knows, such as amqp://USER:PASSWORD@HOST/VHOST")
        if url and _parts(url).scheme in {"redis", "rediss", "sentinel"}:
            raise ValueError("is only for a broker that is not Redis: set SMS_REDIS_URL instead")
        return url and _verified_tls(url)

    @field_validator("gateway_url")
    @classmethod
    def _a_gateway(cls, url: str) -> str:
        parts = _parts(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be http://HOST/smsgateway or https://HOST/smsgateway")
        return url.rstrip("/")

    @field_validator("gateway_timezone", "quiet_hours_timezone")
    @classmethod
    def _a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be an IANA zone such as Asia/Tashkent or UTC") from None
        return name

    @field_validator("gateway_nickname")
    @classmethod
    def _never_empty(cls, nickname: str | None) -> str | None:
        return nickname or None  # the vendor's form leaves the field out; an empty one is an error 202

    @model_validator(mode="after")
    def _a_lease_outlives_a_post(self) -> Self:
        if self.gateway_read_timeout_seconds > 600:  # noqa: PLR2004
            raise ValueError("SMS_GATEWAY_READ_TIMEOUT_SECONDS must be at most 600")
        return self

    @model_validator(mode="after")
    def _recipients_can_be_posted_to(self) -> Self:
        for name in ("allowed_recipients", "staging_recipients"):
            if not all(_is_accepted(phone, self.countries) for phone in getattr(self, name)):
                of = f"{', '.join(self.countries)} (SMS_COUNTRIES)"
                raise ValueError(f"{PREFIX}{name.upper()}: must be mobile numbers of {of}, with the country's code")
        return self

    @cached_property
    def zone(self) -> ZoneInfo:
        """The gateway's time zone."""
        return ZoneInfo(self.gateway_timezone)

    @property
    def broker(self) -> str:
        """The URL that Celery connects to."""
        return self.broker_url or self.redis_url

    @property
    def broker_is_redis(self) -> bool:
        """Whether orders are taken off Redis in bulk, or come as ordinary Celery tasks."""
        return self.broker_url is None

    def of_lane(self, setting: str, lane: Lane) -> Any:
        """The value of a setting that each lane has of its own; None for a lane that has none."""
        return getattr(self, f"{setting}_{lane}", None)

    def unconfirmed_policy(self, lane: Lane) -> Policy:
        """What the lane's owner wants done with a message whose post was cut off."""
        policy: Policy = self.of_lane("unconfirmed", lane)
        return policy


def load_settings() -> Settings:
    """Read environment, ``.env`` in the current folder and the secret files in ``SMS_SECRETS_DIR``.

    A secret file is named like its setting (``SMS_GATEWAY_PASSWORD``, in capitals or not). The environment wins over
    ``.env``, and ``.env`` over files. Raises `SettingsError` with one line that names the setting and what is allowed.
    """
    return _load(Settings)


def load_database_url() -> str:
    """The same for the database alone."""
    return _load(DatabaseSettings).database_url


def a_database_url(url: str) -> str:
    """*url*, if it is one of a database that we know; else raises `SettingsError`."""
    try:
        return DatabaseSettings(database_url=url).database_url
    except ValidationError as error:
        raise SettingsError(first_line(error)) from None


def _load(kind: type[T]) -> T:
    written = read_env_file()
    secrets = os.environ.get(SECRETS_DIR) or written.get(SECRETS_DIR) or None
    if secrets and not _is_folder(secrets):
        raise SettingsError(f"{SECRETS_DIR}: there is no folder {secrets!r}. Name the folder of the secret files.")
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {SECRETS_DIR}
    refuse_unknown(os.environ, known)
    refuse_unknown(written, known)
    try:
        return kind(_env_file=setting_errors.ENV_FILE, _secrets_dir=secrets)
    except ValidationError as error:
        raise SettingsError(first_line(error)) from None
    except (SourceError, OSError, ValueError) as error:  # a secret file that is no text, or that may not be read
        why = f"a file in it cannot be read ({type(error.__cause__ or error).__name__})"
        raise SettingsError(f"{SECRETS_DIR}: {why}. Each holds one value, in UTF-8.") from None


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):  # a name that no file system can have
        return False


def _is_accepted(phone: str, countries: tuple[str, ...]) -> bool:
    try:
        return normalised(f"+{phone}", countries) == phone
    except OrderRefused:
        return False


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read only now, and no number or too large a one is found out only now
    except ValueError:
        return urlsplit("")
    return parts


def _verified_tls(url: str) -> str:
    # redis-py and Kombu verify nothing with rediss:// unless they are told to.
    secure = _parts(url).scheme in {"rediss", "amqps"}
    if secure and parse_qs(_parts(url).query).get("ssl_cert_reqs", [""])[-1] not in {"required", "CERT_REQUIRED"}:
        raise ValueError("encrypts but verifies nothing: add ?ssl_cert_reqs=required")
    return url
