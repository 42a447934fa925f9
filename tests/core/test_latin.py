"""Uzbek Cyrillic in Latin letters, by the rules of 1995; examples of the rules themselves where they have some."""

import pytest

from worker.latin import LETTERS, in_latin

WORDS = {
    "е at the beginning": "етти yetti, енгил yengil, Елена Yelena, 5-етти 5-yetti",
    "е after a vowel": "қаерда qayerda, Низоев Nizoyev, Мирзиёев Mirziyoyev, поезд poyezd",
    "е after a consonant": "келди keldi, лекин lekin",
    "е after a sign": "объект obyekt, премьера premyera",
    "э": "эшик eshik, аэропорт aeroport",
    "letters of two": "ёш yosh, юлдуз yulduz, яхши yaxshi, дунё dunyo, шчётка shchyotka",
    "ц at the beginning, at the end, beside a consonant": "цирк sirk, цех sex, акция aksiya, абзац abzas, кварц kvars",
    "ц between vowels": "лицей litsey, федерация federatsiya, конституция konstitutsiya, пицца pitssa",
    "tutuq belgisi": "эълон eʼlon, феъл feʼl, маъюс maʼyus, санъат sanʼat, қатъий qatʼiy, масъул masʼul",
    "no tutuq belgisi": "мўъжиза moʻjiza, мўътабар moʻtabar, субъект subyekt, адъютант adyutant, съезд syezd",
    "ь": "альбом albom, июнь iyun, рельс rels, почтальон pochtalyon, батальон batalyon, компьютер kompyuter",
    "с and ҳ apart": "Исҳоқ Isʼhoq, асҳоб asʼhob",
    "words of their own": "сентябрь sentabr, октябрда oktabrda, ноябрь noyabr, бюджет budjet, алюминий aluminiy",
    "letters with a mark": "ўзбек oʻzbek, ғалаба gʻalaba, қиш qish, ҳол hol, хол xol, жаҳон jahon, йўл yoʻl",
    "a capital": "Шаҳар Shahar, Чой Choy, Юлдуз Yulduz, Ўзбек Oʻzbek, Ғани Gʻani, Ё.Жумаев Yo.Jumayev",
    "capitals": "ШАҲАР SHAHAR, ЧИҚИШ CHIQISH, ЯХШИ YAXSHI, ЕТТИ YETTI, ПОЛИЦИЯ POLITSIYA, ИСҲОҚ ISʼHOQ, ЎЗ OʻZ",
    "abbreviations": "МЧЖ MCHJ, АҚШ AQSH, АҚШга AQSHga, ТошДУ ToshDU",
}


@pytest.mark.parametrize("rule", WORDS)
def test_words_are_spelt_by_the_rule(rule: str) -> None:
    for pair in WORDS[rule].split(", "):
        cyrillic, latin = pair.split(" ")
        assert in_latin(cyrillic) == latin


def test_a_text_is_written_in_latin_letters() -> None:
    text = "Ҳурматли мижоз! Тасдиқлаш коди: 4821. Уни ҳеч кимга айтманг."

    assert in_latin(text) == "Hurmatli mijoz! Tasdiqlash kodi: 4821. Uni hech kimga aytmang."


@pytest.mark.parametrize(
    ("text", "latin"),
    [
        pytest.param(
            "Ҳавола: https://ўзбек.uz/шаҳар?я=1 кўринг", "Havola: https://ўзбек.uz/шаҳар?я=1 koʻring", id="link"
        ),
        pytest.param("www.сайт.уз да", "www.сайт.уз da", id="www"),
        pytest.param("почта@сайт.uz га", "почта@сайт.uz ga", id="address"),
        pytest.param("Салом {исм}, {{сумма}} сўм", "Salom {исм}, {{сумма}} soʻm", id="places in braces"),
        pytest.param("Салом %(исм)s", "Salom %(исм)s", id="places of Python"),
        pytest.param("SMSни Paymega, 25 000 UZSга", "SMSni Paymega, 25 000 UZSga", id="Latin words with Uzbek endings"),
        pytest.param("Mijоz кодингиз", "Mijоz kodingiz", id="a Cyrillic о in a Latin word"),
        pytest.param("«Бозор» — №5…", "«Bozor» — №5…", id="signs are folding's"),
        pytest.param("и\u0306ўл, у\u0306зга", "yoʻl, oʻzga", id="letters and marks that come apart"),
        pytest.param("Раҳмат 😀", "Rahmat 😀", id="emoji"),
    ],
)
def test_what_is_no_uzbek_word_stays(text: str, latin: str) -> None:
    assert in_latin(text) == latin


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Вы выиграли, ещё раз", id="ы"),
        pytest.param("Товарищ", id="щ"),
        pytest.param("Ваш код: 4821", id="a Russian word"),
        pytest.param("Код для входа", id="another"),
        pytest.param("Скидки в магазине", id="a word of one letter"),
        pytest.param("Қазақстан, әлем", id="Kazakh"),
        pytest.param("Київ і Львів", id="Ukrainian"),
        pytest.param("Your code is 4821", id="no Cyrillic at all"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_is_not_uzbek_stays(text: str) -> None:
    assert in_latin(text) == text


@pytest.mark.parametrize("text", ["С. Раҳимов", "шу к.", "ва в.б. кишилар"], ids=str)
def test_an_initial_is_no_russian_word(text: str) -> None:
    assert in_latin(text) != text


def test_the_alphabet_is_the_uzbek_one() -> None:
    assert len(LETTERS) == 35
    assert "".join(sorted(LETTERS)) == "".join(sorted("абвгдеёжзийклмнопрстуфхцчшъьэюяўқғҳ"))
