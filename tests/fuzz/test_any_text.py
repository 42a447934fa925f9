"""The parts of a text, counted once more by the standard, and what its rewriting never does, whatever the text."""

import re

from hypothesis import given
from hypothesis import strategies as some

from worker.latin import LETTERS, RUSSIAN, in_latin
from worker.rewriting import FOLDS, folded, rewritten
from worker.text import Measure, dear, is_gsm, measure, size_of

#: 3GPP TS 23.038, 6.2.1: the default alphabet by rows of sixteen; ␛ is the escape to the extension table of 6.2.1.1.
ALPHABET = """\
@£$¥èéùìòÇ\nØø\rÅå\
Δ_ΦΓΛΩΠΨΣΘΞ␛ÆæßÉ\
 !"#¤%&'()*+,-./\
0123456789:;<=>?\
¡ABCDEFGHIJKLMNO\
PQRSTUVWXYZÄÖÑÜ§\
¿abcdefghijklmno\
pqrstuvwxyzäöñüà"""
EXTENSION = "\f^{}\\[~]|€"

SEPTETS = dict.fromkeys(ALPHABET.replace("␛", ""), 1) | dict.fromkeys(EXTENSION, 2)
CHARACTERS = some.characters(exclude_categories=["Cs"])
PIECES = some.sampled_from(["a", "€", "^~", "a" * 67, "a" * 70, "a" * 152, "a" * 160, "ў", "ў" * 66, "\U0001f600", "ʻ"])
TEXTS = some.one_of(
    some.text(CHARACTERS),
    some.text(some.sampled_from([*SEPTETS]), max_size=400),
    some.lists(PIECES, max_size=12).map("".join),
    some.text(some.sampled_from("ўa€\U0001f600"), min_size=60, max_size=300),
)

UZBEK = "".join(LETTERS)
WORDS = some.text(some.sampled_from(UZBEK + UZBEK.upper()), min_size=3, max_size=12)
KEPT = some.sampled_from(
    ["4821", "25 000", "https://uz.example/a?b=1&c=2", "{name}", "%(sum)s", "Payme", "+998901234567"]
)
UZBEK_TEXTS = some.lists(some.one_of(WORDS, KEPT), min_size=1, max_size=30).map(" ".join)
TYPED_TEXTS = some.one_of(
    TEXTS,
    UZBEK_TEXTS,
    some.text(some.sampled_from([*FOLDS, *"abc oO'\"-.é\u0301\u0306уўшЕъ"]), max_size=200),
)


@given(TEXTS)
def test_a_text_takes_as_many_parts_as_by_the_standard(text: str) -> None:
    assert measure(text) == counted(text)
    assert size_of(text) == counted(text)[:2]


@given(some.characters())
def test_each_character_is_in_the_alphabet_or_makes_the_text_longer(character: str) -> None:
    assert size_of(character).encoding == ("gsm" if character in SEPTETS else "ucs2")


@given(TEXTS)
def test_without_its_dear_characters_a_text_is_plain(text: str) -> None:
    plain = "".join(one for one in text if one not in dear(text))

    assert is_gsm(plain)
    assert not is_gsm(text) or measure(plain).units == len(plain)


@given(TYPED_TEXTS)
def test_a_folded_text_is_gsm_and_takes_no_more_parts_or_is_the_text_itself(text: str) -> None:
    plain = folded(text)

    assert plain == text or is_gsm(plain)
    assert size_of(plain).parts <= size_of(text).parts
    assert folded(plain) == plain
    assert bool(plain.strip()) == bool(text.strip())


@given(TYPED_TEXTS, some.booleans(), some.booleans())
def test_a_rewritten_text_takes_no_more_parts_and_is_never_rewritten_again(
    text: str, fold: bool, transliterate: bool
) -> None:
    once = rewritten(text, fold=fold, transliterate=transliterate)

    assert size_of(once).parts <= size_of(text).parts
    assert rewritten(once, fold=fold, transliterate=transliterate) == once
    assert once == text or fold or transliterate


@given(UZBEK_TEXTS)
def test_an_uzbek_text_keeps_no_cyrillic_and_loses_no_digit_and_no_link(text: str) -> None:
    latin = in_latin(text)

    if latin != text:
        assert not re.search("[\u0400-\u052f]", latin)
        assert re.findall(r"\d+|https://\S+|\{\w+\}|%\(\w+\)s|Payme", latin) == re.findall(
            r"\d+|https://\S+|\{\w+\}|%\(\w+\)s|Payme", text
        )
        assert is_gsm(latin.translate({ord("ʻ"): "'", ord("ʼ"): "'"}))
        assert in_latin(latin) == latin


@given(some.lists(WORDS, min_size=1, max_size=30).map(" ".join))
def test_only_a_russian_word_keeps_a_text_of_uzbek_letters_cyrillic(text: str) -> None:
    assert (in_latin(text) == text) == bool({*RUSSIAN} & set(text.lower().split()))


def counted(text: str) -> Measure:
    if all(character in SEPTETS for character in text):
        return filled("gsm", [SEPTETS[character] for character in text], single=160, part=153)
    return filled("ucs2", [len(character.encode("utf-16-be", "surrogatepass")) // 2 for character in text], 70, 67)


def filled(encoding: str, widths: list[int], single: int, part: int) -> Measure:
    """How many parts it takes where no character is cut through, and what is left empty before the last."""
    units = sum(widths)
    if units <= single:
        return Measure(1, encoding, units, 0, single)
    parts, free, empty = 1, part, 0
    for width in widths:
        if width > free:
            parts, free, empty = parts + 1, part, empty + free
        free -= width
    return Measure(parts, encoding, units, empty, parts * part)
