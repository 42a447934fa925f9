"""Texts folded to GSM 03.38: what is written plainly, and when nothing is changed."""

import unicodedata

import pytest

from worker.rewriting import FOLDS, LOOK_ALIKES, folded, rewritten
from worker.text import Size, is_gsm, size_of


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        *(
            pytest.param(f"O{mark}zbekiston", "O'zbekiston", id=f"apostrophe U+{ord(mark):04X}")
            for mark in "\u02bb\u02bc\u2018\u2019\u201b\u0060\u00b4\u02b9\u02bd\u2032\uff07"
        ),
        pytest.param("«Bozor» “Bozor” „Bozor‟ ‹Bozor›", '"Bozor" "Bozor" "Bozor" \'Bozor\'', id="quotes"),
        pytest.param("9–18 — 5−3 e‑mail a‐b ‒ ―", "9-18 - 5-3 e-mail a-b - -", id="dashes"),
        pytest.param("Kuting…", "Kuting...", id="an ellipsis"),
        pytest.param("Buyurtma №5", "Buyurtma No5", id="a number sign"),
        pytest.param("25\u00a0000\u202fso'm,\u20092\u2007kg\t1", "25 000 so'm, 2 kg 1", id="odd blanks and a tab"),
        pytest.param("\ufeffKod\u200b:\u200d 4\u00ad8\u206021", "Kod: 4821", id="what nobody sees"),
        pytest.param("Brand® Name™ ©2026", "Brand(R) Name(TM) (C)2026", id="marks of trade"),
        pytest.param("• bir\n· ikki\n\uf0b7 uch", "* bir\n* ikki\n* uch", id="Word's bullets"),
        pytest.param("bir\u2028ikki\vuch", "bir\nikki\nuch", id="Word's line ends"),
        pytest.param("2×3 → 6, ≥5 ≤7", "2x3 -> 6, >=5 <=7", id="signs"),
        pytest.param("oﬃs", "offis", id="a ligature"),
        pytest.param("Cafe\u0301 o\u0308l", "Café öl", id="accents that come apart"),
        pytest.param("Café «ÖL»", 'Café "ÖL"', id="letters of GSM 03.38 stay as they are"),
        pytest.param("©\ufe0f 2026", "(C) 2026", id="a sign in the shape of an emoji"),
    ],
)
def test_look_alikes_are_written_plainly(text: str, plain: str) -> None:
    assert folded(text) == plain
    assert size_of(plain).encoding == "gsm"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Yo'lga chiqdi", id="GSM already"),
        pytest.param("«Rahmat» 😀", id="an emoji stays, so all stays UCS-2"),
        pytest.param("«Раҳмат»", id="Cyrillic stays"),
        pytest.param("Oʻzbekiston, şahar", id="a letter outside GSM 03.38 is never changed"),
        pytest.param("façade — ç", id="ç is not in GSM 03.38, only Ç is"),
        pytest.param("25 °C — 10 m²", id="signs that have no plain form"),
        pytest.param("…" * 70, id="three characters each would be two parts"),
        pytest.param("\u200b\u200b", id="nothing would be left"),
        pytest.param("\u00a0", id="a blank would be left"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_text_is_left_as_it_is(text: str) -> None:
    assert folded(text) == text


def test_each_look_alike_has_one_plain_form_which_is_gsm() -> None:
    assert sum(map(len, LOOK_ALIKES.values())) == len(FOLDS)
    assert all(is_gsm(plain) for plain in LOOK_ALIKES)
    assert not any(is_gsm(sign) for sign in FOLDS)


def test_no_letter_of_a_word_is_a_look_alike_but_ligatures_and_letters_used_as_apostrophes() -> None:
    letters = {one for one in FOLDS if unicodedata.category(one)[0] == "L"}

    assert letters == set("ʹʻʼʽʾʿˈˊˋʺˮꞌﬀﬁﬂﬃﬄ")


def test_folding_halves_the_price_of_an_uzbek_text() -> None:
    text = "Hurmatli mijoz, buyurtmangiz yoʻlga chiqdi — 25 000 soʻm. Rahmat, “Bozor” jamoasi."

    assert size_of(text) == Size(2, "ucs2")
    assert size_of(folded(text)) == Size(1, "gsm")


@pytest.mark.parametrize(
    ("fold", "transliterate", "expected"),
    [
        pytest.param(False, False, "Йўлга чиқди — раҳмат", id="neither"),
        pytest.param(True, False, "Йўлга чиқди — раҳмат", id="folding leaves Cyrillic"),
        pytest.param(False, True, "Yoʻlga chiqdi — rahmat", id="Latin letters with their own apostrophe"),
        pytest.param(True, True, "Yo'lga chiqdi - rahmat", id="both make it GSM"),
    ],
)
def test_each_setting_does_its_part(fold: bool, transliterate: bool, expected: str) -> None:
    assert rewritten("Йўлга чиқди — раҳмат", fold=fold, transliterate=transliterate) == expected


@pytest.mark.parametrize(
    ("text", "fold"),
    [
        pytest.param("ш" * 70, False, id="sh is two letters, yet GSM"),
        pytest.param("ўш" * 35, True, id="o' and sh"),
        pytest.param("ш" * 67 * 9, True, id="nine parts"),
    ],
)
def test_what_becomes_gsm_never_takes_more_parts(text: str, fold: bool) -> None:
    latin = rewritten(text, fold=fold, transliterate=True)

    assert is_gsm(latin)
    assert size_of(latin).parts <= size_of(text).parts


@pytest.mark.parametrize(
    ("text", "fold"),
    [
        pytest.param("ў" * 40, False, id="unfolded, it would be 80 characters of UCS-2"),
        pytest.param("ш" * 60 + "😀", True, id="an emoji keeps it UCS-2"),
    ],
)
def test_a_text_that_latin_letters_would_make_dearer_stays_cyrillic(text: str, fold: bool) -> None:
    assert rewritten(text, fold=fold, transliterate=True) == text
