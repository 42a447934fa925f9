"""Where the SMS workers tell what became of an SMS. ``urlpatterns`` stand at the end."""

import json
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from django_shop.models import Order, SmsEvent
from sms_producer import is_ours


@csrf_exempt  # no browser comes here: the signature says who it is
@require_POST
def sms_changed(request: HttpRequest) -> HttpResponse:
    """Believe what is signed, and answer 204 only when it is stored: anything but 2xx is told again later."""
    if not is_ours(settings.SMS_CALLBACK_SECRET, request.headers.get("X-SMS-Signature", ""), request.body):
        return HttpResponse(status=403)
    with transaction.atomic():
        _store(json.loads(request.body))
    return HttpResponse(status=204)


def _store(event: dict[str, Any]) -> None:
    at = datetime.fromisoformat(event["at"])
    told = {"uid": event["uid"] or "", "state": event["state"], "reason": event["reason"] or "", "at": at}
    _, is_new = SmsEvent.objects.get_or_create(event_id=event["event_id"], defaults=told)
    if is_new:
        order = (event["key"] or "").removeprefix("paid-")
        # Events may change places: an older one never overwrites a newer one.
        not_newer = Order.objects.filter(Q(sms_at=None) | Q(sms_at__lte=at), pk=order)
        not_newer.update(sms_state=event["state"], sms_at=at)


urlpatterns = [path("sms", sms_changed)]
