"""What the web page's views work with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session, sessionmaker

from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class WebHouse:
    """Built once for each process of the web page."""

    settings: Settings
    sessions: sessionmaker[Session]
    now: Callable[[], datetime]
