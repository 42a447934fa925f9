"""The web page's languages: catalogs written as ``locales/WHAT.LANGUAGE.po``, compiled when they are first used."""

import gettext as catalogs
from contextvars import ContextVar
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import cast

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import LazyProxy

LANGUAGES = {"en": "English", "ru": "Русский", "uz": "O\N{MODIFIER LETTER TURNED COMMA}zbekcha"}
DEFAULT = "en"  # the language that the messages are written in
COOKIE = "sms_language"

_language: ContextVar[str] = ContextVar("language", default=DEFAULT)


def speak(language: str) -> None:
    """Answer in *language*, one of `LANGUAGES`, for the rest of this request."""
    _language.set(language)


def spoken() -> str:
    """The language of this request."""
    return _language.get()


def gettext(message: str) -> str:
    """*message* in the language of this request."""
    return _catalog(spoken()).gettext(message) if message else ""  # an empty one would be the catalog's own header


def ngettext(one: str, many: str, count: int) -> str:
    """The form of the message for *count*, in the language of this request."""
    return _catalog(spoken()).ngettext(one, many, count)


def lazy(message: str) -> str:
    """*message* for names in classes and modules: translated each time it is used."""
    return cast("str", LazyProxy(gettext, message, enable_cache=False))


def preferred(accept_language: str) -> str:
    """The language that a browser likes best of ours.

    >>> preferred("fr, uz-Latn;q=0.9, ru;q=0.95"), preferred("fr"), preferred("")
    ('ru', 'en', 'en')
    """
    wishes = [_wish(one) for one in accept_language.split(",")]
    known = [(weight, language) for weight, language in wishes if language in LANGUAGES and weight > 0]
    return max(known, key=lambda wish: wish[0])[1] if known else DEFAULT


def _wish(written: str) -> tuple[float, str]:
    tag, _, weight = written.partition(";")
    try:
        return float(weight.strip().removeprefix("q=") or 1), tag.strip().lower().split("-")[0]
    except ValueError:
        return 0, ""


@cache
def _catalog(language: str) -> catalogs.NullTranslations:
    if language == DEFAULT:
        return catalogs.NullTranslations()
    spoken_here = catalogs.NullTranslations()
    for one in sorted((files("worker.web") / "locales").iterdir(), key=lambda file: file.name):
        if one.name.endswith(f".{language}.po"):
            known = _compiled(one.read_bytes(), language)
            known.add_fallback(spoken_here)
            spoken_here = known
    return spoken_here


def _compiled(written: bytes, language: str) -> catalogs.GNUTranslations:
    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(written), locale=language))
    compiled.seek(0)
    return catalogs.GNUTranslations(compiled)
