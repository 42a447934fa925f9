"""A producer with Celery of its own."""

from collections.abc import Iterator

import pytest
from builders import Sessions
from shop import Shop


@pytest.fixture
def shop(redis_url: str, sessions: Sessions) -> Iterator[Shop]:
    shop = Shop(redis_url, sessions)
    yield shop
    shop.close()
