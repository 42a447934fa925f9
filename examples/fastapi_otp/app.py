"""Log in by a code: ``uvicorn --factory fastapi_otp.app:from_environment``.

The digits are in the SMS and nowhere else: their row holds an HMAC, `Producer` hides the arguments from monitors, the
check's body is a `SecretStr`, and the log names a code by its id.
"""

import ipaddress
import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from celery import Celery
from fastapi import FastAPI, HTTPException, Request
from fastapi_otp.codes import Codes, NotValid, TooMany
from kombu.exceptions import OperationalError
from pydantic import AfterValidator, BaseModel, Field, SecretStr
from sms_producer import Producer, Sms

BROKER_TIMES = {"socket_connect_timeout": 5, "socket_timeout": 5}

log = logging.getLogger("uvicorn.error")


def _one_spelling(phone: str) -> str:
    """However it is written, a number is one number: else each spelling had limits of its own."""
    digits = re.sub(r"[+() .-]", "", phone)
    if not re.fullmatch(r"(998)?[0-9]{9}", digits):
        raise ValueError("not a number of Uzbekistan")
    return "998" + digits[-9:]


def _network(address: str) -> str:
    """Whom limits are for: of IPv6 everybody has a whole /64, whose addresses never come to an end."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # a socket of this machine has none
        return address
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped:
        return str(getattr(found, "ipv4_mapped", None) or found)
    return str(ipaddress.ip_network((int(found), 64), strict=False))


class Asked(BaseModel):
    phone: Annotated[str, AfterValidator(_one_spelling)]


class Tried(BaseModel):
    id: str
    code: SecretStr = Field(max_length=20)


def create(codes: Codes, sms: Producer, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> FastAPI:
    """The application. Its endpoints are no coroutines: SQLite and publishing block, so they run in threads."""
    app = FastAPI()

    @app.post("/codes", status_code=202)
    def ask(asked: Asked, request: Request) -> dict[str, str]:
        address = _network(request.client.host) if request.client else ""
        try:
            code = codes.make(asked.phone, address, now())
        except TooMany as too_many:
            wait = {"Retry-After": str(too_many.wait_seconds)}
            raise HTTPException(429, "Too many codes; try later.", headers=wait) from None
        text = f"Your code is {code.digits}. Tell it to nobody."
        try:
            sms.send(Sms(asked.phone, text, key=f"code-{code.id}", expires_at=code.expires_at), lane="otp")
        except OperationalError:
            # It may have been sent, so it counts. Nobody can repeat it, for nobody knows its digits.
            log.warning("code %s: the broker did not answer", code.id)
            raise HTTPException(503, "Try again in a minute.") from None
        log.info("code %s sent to …%s", code.id, asked.phone[-4:])
        return {"id": code.id}

    @app.post("/codes/check")
    def check(tried: Tried) -> dict[str, bool]:
        try:
            return {"right": codes.check(tried.id, tried.code.get_secret_value(), now())}
        except NotValid:
            raise HTTPException(410, "Ask for a new code.") from None

    return app


def from_environment() -> FastAPI:
    """With BROKER_URL, OTP_SECRET and, if it is not otp.db, OTP_DATABASE."""
    celery = Celery("login", broker=os.environ["BROKER_URL"], set_as_current=False)
    celery.conf.broker_transport_options = BROKER_TIMES
    codes = Codes(Path(os.environ.get("OTP_DATABASE", "otp.db")), os.environ["OTP_SECRET"].encode())
    return create(codes, Producer(celery, "login"))
