"""``sms parts``: what a person learns of a text, on a machine that has nothing of ours set up."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from worker.cli.main import app
from worker.errors import SmsError

UZBEK = "Oʻzbekiston — “gʻoya” narxi 25 000 soʻm. Buyurtmangiz yoʻlga chiqdi, kuryer bilan bogʻlaning"
CYRILLIC = "Ҳурматли мижоз, буюртмангиз йўлга чиқди. Курьер билан боғланинг, раҳмат! Ўзбекистон"
Parts = Callable[..., Result]


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Parts:
    """Runs the command without a single setting."""
    for name in [name for name in os.environ if name.upper().startswith("SMS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*words: str, typed: bytes = b"", **env: str) -> Result:
        return CliRunner().invoke(app, ["parts", *words], input=typed, env=env)

    return run


def known(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_a_plain_text_is_one_part(parts: Parts) -> None:
    answer = parts("Your code is 4821")

    assert answer.stdout == (
        "gsm, 1 part: 17 of 160 units used, 143 left\n\nFolding and transliterating would change nothing.\n"
    )


def test_it_shows_what_makes_a_text_dear_and_what_folding_saves(parts: Parts) -> None:
    shown = parts(UZBEK, "--price", "95").stdout

    assert "ucs2, 2 parts: 92 of 134 units used, 42 left" in shown
    assert lines_of(shown, "U+02BB") == ['ʻ U+02BB modifier letter turned comma 5 "\'"']
    assert lines_of(shown, "as it is") == ["as it is ucs2 2 92 of 134 42 190.00 UZS"]
    assert lines_of(shown, "folded  ") == ["folded gsm 1 92 of 160 68 95.00 UZS"]
    assert "O'zbekiston - \"g'oya\" narxi 25 000 so'm." in shown
    assert "SMS_FOLD_TEXT" in shown
    assert max(map(len, shown.splitlines()[:-1])) <= 80  # the last is the text itself


def test_it_shows_what_latin_letters_save(parts: Parts) -> None:
    shown = parts(CYRILLIC).stdout

    assert "ucs2, 2 parts" in shown
    assert "and 16 more; --json has them all" in shown
    assert "in Latin and folded gsm 1 88 of 160 72" in lines_of(shown, "in Latin")
    assert "Hurmatli mijoz, buyurtmangiz yo'lga chiqdi. Kuryer bilan bog'laning, rahmat!" in shown


def test_an_emoji_pushed_into_the_next_part_is_told(parts: Parts) -> None:
    shown = parts("я" * 66 + "😀" * 3).stdout

    assert "ucs2, 2 parts: 72 of 134 units used, 1 lost at the end of a part, 61 left" in shown


def test_programs_get_one_object(parts: Parts) -> None:
    answer = known(parts("Oʻz 5 €", "--json", "--price", "95", "--currency", "USD"))

    money = {"price": 95, "currency": "USD"}
    ucs2 = {"encoding": "ucs2", "parts": 1, "units": 7, "room": 70, "left": 63, **money}
    gsm = {"encoding": "gsm", "parts": 1, "units": 8, "room": 160, "left": 152, **money}
    mark = {"character": "ʻ", "code_point": "U+02BB", "name": "MODIFIER LETTER TURNED COMMA"}
    assert answer == {
        **ucs2,
        "dear": [mark | {"times": 1, "folded_to": "'"}],
        "folded": gsm | {"changed": True, "text": "O'z 5 €"},
        "in_latin": ucs2 | {"changed": False, "text": "Oʻz 5 €"},
        "in_latin_and_folded": gsm | {"changed": True, "text": "O'z 5 €"},
    }


def test_without_a_price_no_money_is_spoken_of(parts: Parts) -> None:
    assert "price" not in known(parts("Salom", "--json"))
    assert "UZS" not in parts(UZBEK).stdout


def test_the_price_of_the_house_is_taken_from_the_environment(parts: Parts) -> None:
    answer = known(parts(UZBEK, "--json", SMS_PRICE_PER_PART="95.5", SMS_PRICE_CURRENCY="UZS"))

    assert (answer["price"], answer["folded"]["price"]) == (191, 95.5)


@pytest.mark.parametrize("words", [(), ("-",)], ids=["nothing", "a dash"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=ascii)
def test_standard_input_is_read_without_its_last_line_end(parts: Parts, words: tuple[str, ...], end: str) -> None:
    answer = known(parts(*words, "--json", typed=f"Salom\nSoʻm{end}".encode()))

    assert answer["in_latin"]["text"] == "Salom\nSoʻm"


def test_a_file_is_read_without_its_byte_order_mark(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"\xef\xbb\xbfSalom\n")

    assert known(parts("--file", "text.txt", "--json"))["folded"]["text"] == "Salom"


@pytest.mark.parametrize(
    ("words", "typed", "line"),
    [
        pytest.param(
            ["--file", "none.txt"], b"", "'none.txt' cannot be read: No such file or directory.", id="no file"
        ),
        pytest.param(["a", "--file", "b"], b"", "There is a text and a --file: give one of them.", id="two texts"),
        pytest.param(
            ["--price", "inf", "a"], b"", "--price inf is no price: give a number such as 95.5.", id="endless price"
        ),
        pytest.param(["-"], b"ab\xff", "The text is not UTF-8: byte 3 is none. Save it as UTF-8.", id="other bytes"),
    ],
)
def test_wrong_input_is_one_line(parts: Parts, words: list[str], typed: bytes, line: str) -> None:
    answer = parts(*words, typed=typed)

    assert isinstance(answer.exception, SmsError)
    assert str(answer.exception) == line


@pytest.mark.parametrize("words", [["--price", "-1", "a"], ["--price", "x", "a"]], ids=["below 0", "no number"])
def test_a_wrong_price_is_refused(parts: Parts, words: list[str]) -> None:
    assert parts(*words).exit_code == 2


def test_the_terminal_obeys_nothing_of_a_text(parts: Parts) -> None:
    hostile = "a\x1b[2Jb\x9b1m\u202e\r[bold]ʻ"

    for words in ([], ["--json"]):
        shown = parts("-", "--currency", "\x1b[2J", "--price", "1", *words, typed=hostile.encode()).stdout
        assert not set("\x1b\x9b\u202e\r") & set(shown)


def test_characters_without_a_name_are_named(parts: Parts) -> None:
    shown = parts("-", typed=b"a\tb\x1b\x80".replace(b"\x80", "\ue000".encode())).stdout

    assert lines_of(shown, "U+0009") == ['\\t U+0009 tab 1 " "']
    assert lines_of(shown, "U+001B") == ["\\x1b U+001B escape 1 -"]
    assert lines_of(shown, "U+E000") == ["\\ue000 U+E000 no name 1 -"]


def test_it_works_on_a_machine_without_any_setting(tmp_path: Path) -> None:
    done = run_alone("Your code is 4821", folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert "gsm, 1 part" in done.stdout


@pytest.mark.parametrize("text", ["", " \n"], ids=["nothing", "blanks"])
def test_that_a_text_without_a_word_is_refused_is_said(parts: Parts, text: str) -> None:
    assert parts(text).stdout.startswith("An order of such a text is refused (text_missing)")
    assert "text_missing" not in parts("Salom").stdout


def test_at_a_terminal_it_says_how_a_text_ends(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    os.write(ours, b"Salom\n\x04")

    done = run_alone("-", folder=tmp_path, stdin=theirs)

    assert (done.returncode, done.stderr) == (0, "Type the text; Ctrl-D at the start of a line ends it.\n")
    os.close(ours)
    os.close(theirs)


def test_at_a_terminal_it_does_not_wait_for_a_text_without_a_word(tmp_path: Path) -> None:
    ours, theirs = os.openpty()

    done = run_alone(folder=tmp_path, stdin=theirs)

    assert done.returncode == 2
    assert done.stderr == 'sms: Which text? Write it in quotes: sms parts "…", name a --file, or say - and type it.\n'
    os.close(ours)
    os.close(theirs)


def run_alone(*words: str, folder: Path, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "worker.cli.main", "parts", *words]
    return subprocess.run(command, env=env, cwd=folder, stdin=stdin, capture_output=True, text=True, check=False)


def lines_of(shown: str, words: str) -> list[str]:
    return [" ".join(line.split()) for line in shown.splitlines() if words in line]
