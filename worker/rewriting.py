"""Texts as they are posted, where a setting lets them be changed: folded to GSM 03.38, or written in Latin letters."""
# ruff: noqa: RUF001, RUF002 - the look-alikes themselves

import unicodedata

from worker.latin import in_latin
from worker.text import is_gsm, size_of

LOOK_ALIKES = {
    "'": "`´ʹʻʼʽʾʿˈˊˋ‘’‚‛‹›′‵ꞌ＇",
    '"': "«»“”„‟″‶ʺˮ〝〞＂",
    "-": "‐‑‒–—―−⁃－",
    "*": "•·∙‣▪●◦\uf0b7",  # U+F0B7 is Word's bullet; 3·5 is no 3-5
    "...": "…",
    "No": "№",
    "(R)": "®",
    "(C)": "©",
    "(TM)": "™",
    "x": "×",
    "->": "→",
    "<-": "←",
    "<=": "≤",
    ">=": "≥",
    "ff": "ﬀ",
    "fi": "ﬁ",
    "fl": "ﬂ",
    "ffi": "ﬃ",
    "ffl": "ﬄ",
    " ": "\t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
    "\n": "\v\u0085\u2028\u2029",
    "": (
        "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
        "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufe0e\ufe0f\ufeff"
    ),
}  #: by what is written instead. No letter is changed, but for ligatures, and nothing that is read is dropped.

FOLDS = {sign: plain for plain, signs in LOOK_ALIKES.items() for sign in signs}
_folds = str.maketrans(FOLDS)


def rewritten(text: str, *, fold: bool, transliterate: bool) -> str:
    r"""*text* as it is to be posted: transliterated first, as far as it is Uzbek (`in_latin`), and then `folded`.

    What would take more parts than *text* is not posted instead of it: these settings save money, or do nothing.

    >>> rewritten("Ўғлингиз «5» олди…", fold=True, transliterate=True)
    'O\'g\'lingiz "5" oldi...'
    """
    if not (fold or transliterate) or is_gsm(text):
        return text
    latin = in_latin(text) if transliterate else text
    plain = folded(latin) if fold else latin
    return plain if size_of(plain).parts <= size_of(text).parts else text


def folded(text: str) -> str:
    r"""*text* with apostrophes, quotes, dashes, blanks and their like written plainly, if that makes it GSM 03.38.

    All or nothing: where one character outside GSM 03.38 is left, the whole text stays UCS-2 and costs what it did, so
    changing the others would spoil its typography for nothing. Nor is it changed where it would take more parts, as
    ``…`` is three characters, or where nothing would be left to read.

    >>> folded("Oʻzbekiston — “gʻoya”"), folded("Oʻzbekiston 😀")
    ('O\'zbekiston - "g\'oya"', 'Oʻzbekiston 😀')
    """
    if is_gsm(text):
        return text
    plain = unicodedata.normalize("NFC", text).translate(_folds)  # e and an accent may come as two characters
    if not is_gsm(plain) or not plain.strip() or size_of(plain).parts > size_of(text).parts:
        return text
    return plain
