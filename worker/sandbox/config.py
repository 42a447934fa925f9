"""What can be set on a sandbox."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

#: What one request_id stands for, which the document leaves open: one message; a request; several unrelated requests.
RequestIds = Literal["per-message", "shared", "colliding"]

TASHKENT = ZoneInfo("Asia/Tashkent")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """How a sandbox behaves; port 0 picks a free one."""

    host: str = "127.0.0.1"
    port: int = 8900
    control_port: int = 8901  #: always on 127.0.0.1
    login: str = "sandbox"
    password: str = "sandbox"  # noqa: S105 - the sandbox's own
    nicknames: tuple[str, ...] = ()  #: the sender names it knows; none means that it knows all
    nickname_required: bool = False
    request_ids: RequestIds = "per-message"
    batch_limit: int = 100
    delivery_seconds: tuple[float, float] = (1.0, 3.0)  #: shortest and longest way to a phone
    failing_suffixes: tuple[str, ...] = ("0000",)  #: phones that end so are never reached
    latency_seconds: float = 0.0  #: before each answer
    zone: ZoneInfo = TASHKENT  #: of the dates in status answers
    journal: Path | None = None  #: a file that keeps what was taken beyond a restart
    seed: int | None = None  #: of the dice
