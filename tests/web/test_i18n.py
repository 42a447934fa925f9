"""English, Russian and Uzbek: every word of the page is there in each, and people get the one that they want."""

import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from web_pages import Browser

import worker
from worker.story import CLAUSES, SENTENCES
from worker.web.languages import LANGUAGES, preferred

FOLDER = Path(worker.__file__).parent
KEYWORDS = {"_": None, "gettext": None, "lazy": None, "ngettext": (1, 2)}
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2.ext:babel_extract")]
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|%%")
OTHERS = sorted(set(LANGUAGES) - {"en"})


def msgids() -> Iterator[str | tuple[str, ...]]:
    """Everything that the page can say, as it stands in code and templates."""
    found = extract_from_dir(FOLDER / "web", METHODS, keywords=KEYWORDS, options_map={"**.html": {"silent": "false"}})
    for _, _, message, _, _ in found:
        yield message
    yield from sentences()


def sentences() -> Iterator[str]:
    """What the story of a message is told in."""
    yield from SENTENCES.values()
    yield from CLAUSES.values()


def translated(language: str) -> Catalog:
    """All catalogs of a language together."""
    whole = Catalog(locale=language)
    for file in sorted((FOLDER / "web" / "locales").glob(f"*.{language}.po")):
        with file.open("rb") as written:
            for message in read_po(written, locale=language):
                if message.id:
                    whole[message.id] = message
    return whole


def places(message: str) -> set[str]:
    """The places of a message that values are filled into."""
    named = {name for _, name, _, _ in Formatter().parse(message) if name} if "%(" not in message else set()
    return {found for found in PLACEHOLDER.findall(message) if found} | named


@pytest.mark.check
@pytest.mark.parametrize("language", OTHERS)
def test_every_word_of_the_page_is_translated(language: str) -> None:
    known = translated(language)

    missing = []
    for message in msgids():
        found = known.get(message if isinstance(message, str) else message[0])
        strings = (found.string if isinstance(found.string, tuple) else (found.string,)) if found else ()
        if not strings or not all(strings):
            missing.append(message)

    assert sorted({str(one) for one in missing}) == []


@pytest.mark.check
@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_the_places_of_what_it_translates(language: str) -> None:
    wrong = []
    for message in translated(language):
        originals = [message.id] if isinstance(message.id, str) else list(message.id)
        strings = [message.string or ""] if isinstance(message.string, str | None) else list(message.string)
        allowed = set[str]().union(*(places(one) for one in originals))
        wrong += [string for string in strings if message.id and places(string) != allowed]

    assert wrong == []


@pytest.mark.check
@pytest.mark.parametrize("language", OTHERS)
def test_nothing_is_translated_that_is_never_said(language: str) -> None:
    said = {one if isinstance(one, str) else one[0] for one in msgids()}

    left = [message.id for message in translated(language) if message.id]

    assert sorted(one for one in ((one if isinstance(one, str) else one[0]) for one in left) if one not in said) == []


@pytest.mark.check
def test_uzbek_has_one_apostrophe() -> None:
    words = (FOLDER / "web" / "locales").glob("*.uz.po")

    texts = [re.sub(r'^msgid .*\n(?:".*"\n)*', "", file.read_text("utf-8"), flags=re.MULTILINE) for file in words]

    assert texts
    assert [found for text in texts for found in re.findall(r"\w*[oOgG]['‘’`´]\w*", text)] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("ru-RU,ru;q=0.9,en;q=0.8", "Сообщения"),
        ("uz", "Xabarlar"),
        ("fr,en;q=0.5", "Messages"),
        ("", "Messages"),
    ],
)
def test_a_browser_gets_the_language_it_likes_best(local: Browser, wanted: str, words: str) -> None:
    page = local.get("/messages", headers={"accept-language": wanted}).text

    assert f"<h1>{words}</h1>" in page


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_chosen_language_stays(local: Browser) -> None:
    local.get("/messages")

    page = local.send("/language", language="ru", next="/messages").text

    assert '<html lang="ru"' in page
    assert "<h1>Сообщения</h1>" in page
    assert "<h1>Партии</h1>" in local.get("/batches", headers={"accept-language": "uz"}).text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_language_that_nobody_speaks_changes_nothing(local: Browser) -> None:
    local.get("/messages")

    assert '<html lang="en"' in local.send("/language", language="../../x", next="/messages").text


@pytest.mark.parametrize("weight", ["q=x", "q=", "q=nan", ";;", "q=0"])
def test_a_wish_that_cannot_be_read_is_no_wish(weight: str) -> None:
    assert preferred(f"ru;{weight},en;q=0.1") in {"en", "ru"}
