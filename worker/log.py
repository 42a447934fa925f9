"""Log lines: an event and its fields. Never a text, a password, or more of a phone than its last four digits."""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import Processor

# Each second they would say that a bell was heard.
CHATTY = (
    "celery.worker.strategy",
    "celery.worker.request",
    "celery.app.trace",
    "celery.beat",
    "kombu",
    "urllib3",
    "alembic",
    "opentelemetry",
)


def configure(log_format: Literal["json", "console"], *, level: int = logging.INFO) -> None:
    """Send every log line, our own and the libraries', to standard error in one form.

    A *level* below INFO is for our own lines only: at DEBUG libraries print whole orders.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    if log_format == "console":
        # Without local variables: phones and texts live in them.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    finish: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if log_format == "json":
        finish.append(structlog.processors.format_exc_info)
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*finish, renderer])
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
    logging.getLogger("worker").setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


class Silence(logging.Filter):
    """Replaces messages that would print a producer's whole order."""

    def __init__(self, templates: frozenset[str], instead: str) -> None:
        super().__init__()
        self._templates = templates
        self._instead = instead

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the line, without what it would have quoted."""
        if record.msg in self._templates:
            record.msg, record.args, record.exc_info = self._instead, (), None
        return True
