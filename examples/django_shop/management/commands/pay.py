"""``python -m django pay PHONE``: a new order, paid at once; with ``--order``, that one again."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django_shop.models import Order


class Command(BaseCommand):
    help = "Let somebody order and pay; they are told by SMS."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("phone", nargs="?")
        which.add_argument("--order")

    def handle(self, *_args: Any, phone: str | None, order: str | None, **_options: Any) -> None:
        paid = Order.objects.get(pk=order) if order else Order.objects.create(phone=phone)
        paid.pay()
        self.stdout.write(str(paid.pk))
