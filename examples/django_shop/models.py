"""An order, and what the SMS workers told about its SMS."""

import uuid

from celery import Celery
from django.conf import settings
from django.db import models, transaction
from sms_producer import Producer, Sms

_celery = Celery("shop", broker=settings.BROKER_URL, set_as_current=False)
_celery.conf.broker_transport_options = {"socket_connect_timeout": 5, "socket_timeout": 5}
sms = Producer(_celery, "django-shop")


def _number() -> str:
    return str(uuid.uuid4())


class Order(models.Model):
    """What somebody bought. Its number makes the key of its SMS, so no other database may count it again."""

    number = models.CharField(max_length=36, primary_key=True, default=_number)
    phone = models.CharField(max_length=20)
    paid = models.BooleanField(default=False)
    sms_state = models.CharField(max_length=20, default="")
    sms_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"Order {self.pk}"

    def pay(self) -> None:
        """Mark it paid and, once that is committed, tell the customer.

        Raises `kombu.exceptions.OperationalError` when the SMS could not be ordered: it is paid all the same. Pay again
        then; the key makes it one SMS. What must not be forgotten even when the process dies here is for an outbox.
        """
        with transaction.atomic():
            self.paid = True
            self.save(update_fields=["paid"])
            transaction.on_commit(self._tell)

    def _tell(self) -> None:
        text = "Your order is paid. Thank you!"
        paid = Sms(self.phone, text, key=f"paid-{self.pk}", callback={"url": settings.SMS_CALLBACK_URL})
        sms.send(paid, lane="normal")


class SmsEvent(models.Model):
    """What has been told, by its event_id: a repeat changes nothing."""

    event_id = models.CharField(max_length=64, primary_key=True)
    uid = models.CharField(max_length=255, default="")
    state = models.CharField(max_length=20)
    reason = models.CharField(max_length=255, default="")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.uid}: {self.state}"
