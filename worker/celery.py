"""The Celery app: queues, routes and beat's schedule. ``celery -A worker worker``, ``celery -A worker beat``."""

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from celery.worker.consumer import consumer
from kombu import Exchange, Queue

from models.lifecycle import Lane
from worker import log
from worker.errors import SettingsError
from worker.settings import Settings, load_settings

OTHER_THREADS = 10  # one asks for all reports, some tell producers, the others hear bells and sweep
BELLS = ("sms.submission", "sms.polling", "sms.callbacks", "sms.upkeep")
LANES = tuple(f"sms.{lane}" for lane in Lane)


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        raise SystemExit(str(error)) from None


def _refuse_another_broker(broker: str) -> None:
    # Celery lets these win over every other setting: bells would go where nobody takes the orders.
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"):
        if os.environ.get(name, broker) != broker:
            raise SystemExit(f"{name} (or -b) names another broker than SMS_REDIS_URL: set that one only.")


settings = _settings()
_refuse_another_broker(settings.broker)
app = Celery("sms", include=["worker.tasks", "worker.order_tasks", "worker.startup"])

# Where orders cannot be taken off Redis in bulk, they come as ordinary tasks.
_ordinary = () if settings.broker_is_redis else LANES

app.conf.update(
    broker_url=settings.broker,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=False,  # a bell may be lost: right and wrong live in SQL, and a sweep rings again
    task_create_missing_queues=False,  # a misspelt -Q is an error, not a queue that nobody fills
    task_default_queue="sms.upkeep",
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in (*BELLS, *_ordinary)],
    task_routes={
        "sms.submit_batches": {"queue": "sms.submission"},
        "sms.poll_reports": {"queue": "sms.polling"},
        "sms.tell_callbacks": {"queue": "sms.callbacks"},
    },
    # Threads: one engine and one pool of connections for all, and each post's time-outs bound its thread. A prefork
    # child (-P processes; for -P prefork Celery takes this setting) has all of that once more; gevent never restores
    # unacknowledged messages, and is refused.
    worker_pool="threads",
    worker_concurrency=settings.gateway_connections + OTHER_THREADS,
    worker_prefetch_multiplier=1,
    worker_consumer="worker.order_tasks:KeepingConsumer",
    worker_send_task_events=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_enable_remote_control=True,
    beat_scheduler="worker.beat:Metronome",
    beat_schedule={
        "ring lost bells": {"task": "sms.ring", "schedule": 1.0, "options": {"expires": 5}},
        "poll": {"task": "sms.poll_reports", "schedule": 1.0, "options": {"expires": 5}},
        "sweep": {"task": "sms.sweep", "schedule": 5.0, "options": {"expires": 30}},
        "delete old messages": {"task": "sms.delete_old", "schedule": 60.0, "options": {"expires": 50}},
    },
)
if settings.broker.startswith(("amqp", "pyamqp")):
    app.conf.broker_transport_options = {"confirm_publish": True}  # else a retried order may be lost on its way back
if settings.broker_is_redis:
    app.conf.broker_transport_options = {
        "global_keyprefix": settings.redis_key_prefix,
        "visibility_timeout": 600,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "socket_timeout": 30,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "max_connections": app.conf.worker_concurrency + 20,
    }


@setup_logging.connect(weak=False)
def _log_our_way(*, loglevel: int, **_: Any) -> None:
    log.configure(settings.log_format, level=loglevel)
    quotes = (consumer.UNKNOWN_FORMAT, consumer.UNKNOWN_TASK_ERROR, consumer.INVALID_TASK_ERROR)
    templates = frozenset({*quotes, consumer.MESSAGE_DECODE_ERROR, consumer.MESSAGE_REPORT})
    instead = "A message that no task here can read was put into refused_intakes."
    logging.getLogger("celery.worker.consumer.consumer").addFilter(log.Silence(templates, instead))
