"""10,000 texts counted by two libraries of other hands. Where one counts otherwise, a rule here says why, and how."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import smsutil
from sms_toolkit.messages.profiling import profile_message

from worker.text import GSM, GSM_EXTENSION, is_gsm, measure

TEXTS = 10_000
LENGTHS = (0, 1, 35, 66, 67, 70, 76, 80, 134, 140, 153, 160, 201, 306, 320, 335, 459, 612)
UZBEK = "Oʻzbekiston gʻalaba maʼno sanʼat o‘zbek to’g’ri yo`l so´m"
CYRILLIC = "Ўзбекистон Республикаси ҳуқуқ ғалаба қишлоқ 0123456789 .,!"
EMOJI = "😀🎉👍🏽👨\u200d👩\u200d👧🇺🇿❤\ufe0f"
KINDS = {
    "gsm": GSM,
    "gsm with extension": GSM + GSM_EXTENSION,
    "many extensions": "ab" + GSM_EXTENSION,
    "Latin with odd apostrophes": UZBEK,
    "Cyrillic": CYRILLIC,
    "emoji": EMOJI,
    "Cyrillic with emoji": CYRILLIC + EMOJI,
    "everything": GSM + GSM_EXTENSION + UZBEK + CYRILLIC + EMOJI + "\t\xa0«»—…№ç",
    "with an escape": GSM[:100] + "\x1b€",
}


class Counted(NamedTuple):
    """What all three say of a text."""

    parts: int
    encoding: str
    units: int
    left: int


class Rule(NamedTuple):
    """Texts that a library counts otherwise, and what it says of them."""

    holds: Callable[[str], bool]
    says: Callable[[str], Counted]


@cache
def texts() -> tuple[str, ...]:
    return tuple(generated(random.Random(20261122)))


def generated(dice: random.Random) -> Iterator[str]:
    for _ in range(TEXTS):
        alphabet = dice.choice(list(KINDS.values()))
        length = max(0, dice.choice(LENGTHS) + dice.randint(-2, 2))
        plain = dice.choice(["", "a", "ў"]) * (length // 2)  # so that what counts twice does not stand everywhere
        yield plain + "".join(dice.choices(alphabet, k=length - len(plain)))


def ours(text: str) -> Counted:
    size = measure(text)
    return Counted(size.parts, size.encoding, size.units, size.left)


def of_smsutil(text: str) -> Counted:
    found = smsutil.split(text)
    encoding, each = ("gsm", 1) if found.encoding == "gsm0338" else ("ucs2", 2)
    return counted(encoding, [part.bytes // each for part in found.parts])


def of_sms_toolkit(text: str) -> Counted:
    found = profile_message(text)
    encoding = "gsm" if found["max_segment_size"] in {160, 153} else "ucs2"
    return counted(encoding, [segment["total_segment_length"] for segment in found["segments"]])


def counted(encoding: str, parts: list[int]) -> Counted:
    single, part = (160, 153) if encoding == "gsm" else (70, 67)
    room = part if len(parts) > 1 else single
    return Counted(len(parts), encoding, sum(parts), room - (parts[-1] if parts else 0))


RULES_OF_SMSUTIL = {
    "the escape itself is taken for a letter of one septet": Rule(
        lambda text: "\x1b" in text and is_gsm(text.replace("\x1b", "")),
        lambda text: ours(text.replace("\x1b", "a")),
    ),
    "an empty text is not GSM": Rule(lambda text: not text, lambda _: Counted(1, "ucs2", 0, 70)),
}
RULES_OF_SMS_TOOLKIT = {
    "an empty text has no part": Rule(lambda text: not text, lambda _: Counted(0, "gsm", 0, 160)),
}


@pytest.mark.parametrize(
    ("count", "rules"),
    [
        pytest.param(of_smsutil, RULES_OF_SMSUTIL, id="smsutil"),
        pytest.param(of_sms_toolkit, RULES_OF_SMS_TOOLKIT, id="sms-toolkit"),
    ],
)
def test_another_library_counts_the_same_but_where_a_rule_says_why(
    count: Callable[[str], Counted], rules: dict[str, Rule]
) -> None:
    under: Counter[str] = Counter()

    for text in texts():
        known = [name for name, rule in rules.items() if rule.holds(text)]
        under.update(known)
        expected = rules[known[0]].says(text) if known else ours(text)
        assert count(text) == expected, ascii(text)
        assert not known or count(text) != ours(text), "the rule is needed for each of its texts"

    assert set(under) == set(rules), "a rule without a text says nothing"
    assert under.total() < TEXTS / 5


def test_the_texts_are_of_every_kind_and_lie_around_every_limit() -> None:
    sizes = [ours(text) for text in texts()]

    assert len(texts()) == TEXTS
    for encoding, single, part in (("gsm", 160, 153), ("ucs2", 70, 67)):
        units = Counter(size.units for size in sizes if size.encoding == encoding)
        around = [limit + more for limit in (single, part, 2 * part) for more in (-1, 0, 1)]
        assert all(units[one] for one in around), encoding
        assert sum(size.left == 0 for size in sizes if size.encoding == encoding) > 20
    assert sum(measure(text).empty > 0 for text in texts() if is_gsm(text)) > 200
    assert sum(measure(text).empty > 0 for text in texts() if not is_gsm(text)) > 200


def test_the_page_names_each_rule() -> None:
    page = (Path(__file__).parents[2] / "docs/texts.md").read_text(encoding="utf-8")

    named = re.findall(r"^\| (smsutil|sms-toolkit) \| (.+) \|$", page, re.MULTILINE)

    assert named == [("smsutil", name) for name in RULES_OF_SMSUTIL] + [
        ("sms-toolkit", name) for name in RULES_OF_SMS_TOOLKIT
    ]
