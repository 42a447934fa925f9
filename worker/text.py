"""How a text is encoded, and how many parts it takes."""

import re
from typing import NamedTuple

GSM = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = "\f^{}\\[~]|€"  #: an escape and a second septet each

GSM_SINGLE, GSM_PART = 160, 153  # septets
UCS2_SINGLE, UCS2_PART = 70, 67  # UTF-16 units

_all_gsm = re.compile(f"[{re.escape(GSM + GSM_EXTENSION)}]*").fullmatch
_extensions = re.compile(f"[{re.escape(GSM_EXTENSION)}]")
_astral = re.compile("[\U00010000-\U0010ffff]")


class Size(NamedTuple):
    """What a text costs: *parts* SMS, in *encoding* ``gsm`` (GSM 03.38) or ``ucs2``."""

    parts: int
    encoding: str


def size_of(text: str) -> Size:
    """Count the parts of *text*; a character of two units is never cut through by the end of a part.

    >>> size_of("a" * 160), size_of("a" * 159 + "€"), size_of("ў" * 71)
    (Size(parts=1, encoding='gsm'), Size(parts=2, encoding='gsm'), Size(parts=2, encoding='ucs2'))
    """
    if _all_gsm(text):
        return Size(_parts(text, _extensions, GSM_SINGLE, GSM_PART), "gsm")
    return Size(_parts(text, _astral, UCS2_SINGLE, UCS2_PART), "ucs2")


def _parts(text: str, doubles: re.Pattern[str], single: int, part: int) -> int:
    double_at = [match.start() for match in doubles.finditer(text)]
    units = len(text) + len(double_at)
    if units <= single:
        return 1
    # Where a double would straddle the end of a part, it moves on whole and leaves one unit empty.
    shift = 0
    for seen, position in enumerate(double_at):
        if (position + seen + shift) % part == part - 1:
            shift += 1
    return -(-(units + shift) // part)
