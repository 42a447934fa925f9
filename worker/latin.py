"""Uzbek Cyrillic in Latin letters: the alphabet of the law of 1995, spelt by the cabinet's rules (no. 339, 1995)."""
# ruff: noqa: RUF001, RUF002 - the letters themselves

import re
import unicodedata

LETTERS = dict(zip("абвгдежзийклмнопрстуфхцэқҳ", "abvgdejziyklmnoprstufxseqh", strict=True)) | {
    "ь": "",
    "ё": "yo",
    "ю": "yu",
    "я": "ya",
    "ч": "ch",
    "ш": "sh",
    "ў": "oʻ",
    "ғ": "gʻ",
    "ъ": "ʼ",
}  #: where no rule says otherwise. U+02BB and U+02BC are not in GSM 03.38: it is folding that makes them plain.

RUSSIAN = (
    "ваш",
    "ваша",
    "ваше",
    "ваши",
    "вашего",
    "вашей",
    "вам",
    "вас",
    "для",
    "если",
    "или",
    "не",
    "по",
    "при",
    "это",
)
RUSSIAN_LETTERS = "виксяВИКСЯ"  #: words of one letter, which Uzbek does not have

_VOWELS = "аеёиоуўэюя"
_CONSONANTS = "бвгджзйклмнпрстфхцчшқғҳ"
_SPELT = {"ye": "ye", "ts": "ts", "mute": "", "yo": "yo", "a": "a", "u": "u", "apart": "ʼh"}  # by the rule's name
_rules = re.compile(
    rf"""(?=[ецъьяюҳёчш])(?:                              # to look once, where most letters are others
     (?P<ye>(?<![^\W\d_])е|(?<=[{_VOWELS}ъьaeiou])е)     # етти, Мирзиёев, объект
    |(?P<ts>(?<=[{_VOWELS}])ц(?=[{_VOWELS}ц]))            # полиция; but цирк, акция, абзац
    |(?P<mute>(?<=ў)ъ|(?<=[{_CONSONANTS}])ъ(?=[еёюя]))    # мўъжиза, объект; but маъюс, санъат
    |(?P<yo>ьо)                                           # почтальон
    |(?P<a>(?<=сент)я(?=бр)|(?<=окт)я(?=бр))
    |(?P<u>(?<=ал)ю(?=мин)|(?<=\bб)ю(?=джет))
    |(?P<apart>(?<=с)ҳ)                                   # Исҳоқ, where sh would be another letter
    |(?P<capital>[ЁЧШЮЯ]))""",
    re.IGNORECASE | re.VERBOSE,
)
_kept = re.compile(
    r"""((?:https?://|www\.)\S+ | [^\s@]{1,64}@\S+        # links and addresses
    | \{[^{}]*\} | %\(\w+\)s                             # places for names and numbers
    | \b(?=\w*[a-zA-Z])[\dA-Za-zАВЕКМНОРСТУХавекмнорстух]+\b)  # Cyrillic look-alikes in a Latin word: who knows?""",
    re.VERBOSE,
)
_cyrillic = re.compile("[\u0400-\u052f]").search
_uzbek = re.compile(f"[{''.join(LETTERS)}]", re.IGNORECASE).match
_every = map(chr, [*range(0x400, 0x530), *range(0x1C80, 0x1C88)])  # Cyrillic, and its letters of old books
_foreign = re.compile(f"[{''.join(letter for letter in _every if not _uzbek(letter))}]").search
_russian = re.compile(
    rf"""(?=[{RUSSIAN_LETTERS}{"".join(word[0] for word in RUSSIAN)}])
    (?:(?<!\S)[{RUSSIAN_LETTERS}](?!\S)|\b(?:{"|".join(RUSSIAN)})\b)""",
    re.IGNORECASE | re.VERBOSE,
).search
_letters = str.maketrans(LETTERS | {letter.upper(): latin.upper() for letter, latin in LETTERS.items()})


def in_latin(text: str) -> str:
    """*text* with its Uzbek Cyrillic in Latin letters; all else stays: Latin words, digits, links, ``{places}``.

    A text that is not Uzbek as far as can be seen is left as it is: one with a letter that Uzbek does not have
    (``ы``, ``щ``), or with one of the words `RUSSIAN`. So is a Latin word with a Cyrillic look-alike in it.

    >>> in_latin("Исҳоқ Еттига, Тошкент ШАҲАР: мўъжиза эълони https://uz.uz/ер")
    'Isʼhoq Yettiga, Toshkent SHAHAR: moʻjiza eʼloni https://uz.uz/ер'
    >>> in_latin("Вы выиграли")
    'Вы выиграли'
    """
    if not _cyrillic(text):
        return text
    composed = unicodedata.normalize("NFC", text)  # й, ё and ў may come as two characters each
    if _foreign(composed) or _russian(composed):
        return text
    pieces = _kept.split(composed)
    pieces[::2] = [_rules.sub(_spelt, words).translate(_letters) for words in pieces[::2]]
    return "".join(pieces)


def _spelt(match: re.Match[str]) -> str:
    letter = match[0]
    latin = _SPELT.get(match.lastgroup or "", LETTERS.get(letter.lower(), ""))
    if not letter.isupper():
        return latin
    before, after = match.string[max(match.start() - 1, 0) : match.start()], match.string[match.end() : match.end() + 1]
    return latin.upper() if before.isupper() or after.isupper() else latin.capitalize()
