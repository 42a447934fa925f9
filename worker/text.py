"""How a text is encoded, and how many parts it takes."""
# ruff: noqa: RUF002 - the letters of the examples

import re
from collections import Counter
from typing import NamedTuple

GSM = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = "\f^{}\\[~]|€"  #: an escape and a second septet each

GSM_SINGLE, GSM_PART = 160, 153  # septets
UCS2_SINGLE, UCS2_PART = 70, 67  # UTF-16 units

_all_gsm = re.compile(f"[{re.escape(GSM + GSM_EXTENSION)}]*").fullmatch
_not_gsm = re.compile(f"[^{re.escape(GSM + GSM_EXTENSION)}]")
_one_plain_part = re.compile(f"[{re.escape(GSM)}]{{0,{GSM_SINGLE}}}").fullmatch
_extensions = re.compile(f"[{re.escape(GSM_EXTENSION)}]")
_astral = re.compile("[\U00010000-\U0010ffff]")


class Size(NamedTuple):
    """What a text costs: *parts* SMS, in *encoding* ``gsm`` (GSM 03.38) or ``ucs2``."""

    parts: int
    encoding: str


ONE_GSM = Size(1, "gsm")


class Measure(NamedTuple):
    """The same in full. A unit is a septet of GSM 03.38, or one of UTF-16."""

    parts: int
    encoding: str
    units: int  #: of the text itself
    empty: int  #: units left empty inside, at the end of parts where a character of two units did not fit
    room: int  #: units of so many parts

    @property
    def left(self) -> int:
        """Units that may still be added without a further part."""
        return self.room - self.units - self.empty


def size_of(text: str) -> Size:
    """Count the parts of *text*; a character of two units is never cut through by the end of a part.

    >>> size_of("a" * 160), size_of("a" * 159 + "€"), size_of("ў" * 71)
    (Size(parts=1, encoding='gsm'), Size(parts=2, encoding='gsm'), Size(parts=2, encoding='ucs2'))
    """
    if _one_plain_part(text):
        return ONE_GSM  # most are so, and one look tells it
    measured = measure(text)
    return Size(measured.parts, measured.encoding)


def measure(text: str) -> Measure:
    """Count the parts of *text*, as `size_of` does, and what is left in the last.

    >>> measure("ў" * 66 + "😀" + "ў" * 10)
    Measure(parts=2, encoding='ucs2', units=78, empty=1, room=134)
    """
    if _all_gsm(text):
        return _measure(text, "gsm", _extensions, GSM_SINGLE, GSM_PART)
    return _measure(text, "ucs2", _astral, UCS2_SINGLE, UCS2_PART)


def is_gsm(text: str) -> bool:
    """Whether all of *text* is in GSM 03.38. The empty text is.

    >>> is_gsm("O'zbekiston: 10 €"), is_gsm("Oʻzbekiston")
    (True, False)
    """
    return _all_gsm(text) is not None


def dear(text: str) -> Counter[str]:
    """The characters that make *text* dear: those outside GSM 03.38, else those that count twice.

    >>> dear("oʻn ming soʻm"), dear("10 €"), dear("10 so'm")
    (Counter({'ʻ': 2}), Counter({'€': 1}), Counter())
    """
    return Counter(_not_gsm.findall(text) or _extensions.findall(text))


def _measure(text: str, encoding: str, doubles: re.Pattern[str], single: int, part: int) -> Measure:
    double_at = [match.start() for match in doubles.finditer(text)] if doubles.search(text) else []
    units = len(text) + len(double_at)
    if units <= single:
        return Measure(1, encoding, units, 0, single)
    # Where a double would straddle the end of a part, it moves on whole and leaves one unit empty.
    empty = 0
    for seen, position in enumerate(double_at):
        if (position + seen + empty) % part == part - 1:
            empty += 1
    parts = -(-(units + empty) // part)
    return Measure(parts, encoding, units, empty, parts * part)
