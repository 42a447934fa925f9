"""The parts of a text, counted once more by the standard: character by character into parts, as a phone would."""

from hypothesis import given
from hypothesis import strategies as some

from worker.text import Size, size_of

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


@given(TEXTS)
def test_a_text_takes_as_many_parts_as_by_the_standard(text: str) -> None:
    assert size_of(text) == counted(text)


@given(some.characters())
def test_each_character_is_in_the_alphabet_or_makes_the_text_longer(character: str) -> None:
    assert size_of(character).encoding == ("gsm" if character in SEPTETS else "ucs2")


def counted(text: str) -> Size:
    if all(character in SEPTETS for character in text):
        return Size(filled([SEPTETS[character] for character in text], single=160, part=153), "gsm")
    return Size(filled([len(character.encode("utf-16-be")) // 2 for character in text], single=70, part=67), "ucs2")


def filled(widths: list[int], *, single: int, part: int) -> int:
    """How many parts it takes where no character is cut through."""
    if sum(widths) <= single:
        return 1
    parts, free = 1, part
    for width in widths:
        if width > free:
            parts, free = parts + 1, part
        free -= width
    return parts
