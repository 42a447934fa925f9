"""What a text costs, and what makes it cheaper. The rules themselves are in `worker.text` and `worker.rewriting`."""

from collections.abc import Iterator
from typing import NamedTuple

from worker.rewriting import rewritten
from worker.settings import Settings
from worker.text import Measure, dear, measure

MOST_DEAR = 8  # characters that are named
WAYS = {  # a way of writing: what it does to the text, and the setting that has it done to all texts
    "plain": ({"fold": True, "transliterate": False}, "SMS_FOLD_TEXT"),
    "latin": ({"fold": False, "transliterate": True}, "SMS_TRANSLITERATE_TEXT"),
    "plain_latin": ({"fold": True, "transliterate": True}, "SMS_FOLD_TEXT, SMS_TRANSLITERATE_TEXT"),
}


class Cheaper(NamedTuple):
    """A way of writing the same with fewer parts."""

    way: str
    parts: int
    setting: str


class Counted(NamedTuple):
    """What one text comes to, as it would be posted."""

    size: Measure
    is_rewritten: bool  #: the settings change it on its way out
    dear: list[tuple[str, int]]  #: characters that make it dear, and how often each stands in it
    cheaper: list[Cheaper]  #: the gentlest way first
    cost: str  #: empty where no price is set


def counted(text: str, nickname: str | None, settings: Settings) -> Counted:
    """Count *text* as it is posted under *settings* with this sender name."""
    posted = rewritten(text, fold=settings.fold_text, transliterate=settings.transliterate_text)
    size = measure(posted)
    characters = dear(posted).most_common(MOST_DEAR) if size.encoding == "ucs2" or size.parts > 1 else []
    return Counted(
        size, posted != text, characters, list(_cheaper(posted, size)), _cost(size.parts, nickname, settings)
    )


def written(text: str, way: str) -> str:
    """*text* in another way of writing, one of `WAYS`."""
    return rewritten(text, **WAYS[way][0])


def _cheaper(text: str, size: Measure) -> Iterator[Cheaper]:
    fewest = size.parts
    for way, (_, setting) in WAYS.items():
        parts = measure(written(text, way)).parts
        if parts < fewest:
            fewest = parts
            yield Cheaper(way, parts, setting)


def _cost(parts: int, nickname: str | None, settings: Settings) -> str:
    sender = nickname or settings.gateway_nickname or ""
    price = settings.price_per_part_of_nickname.get(sender, settings.price_per_part)
    return f"{price * parts:,.2f} {settings.price_currency}" if price else ""
