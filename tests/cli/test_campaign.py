"""``sms import`` says what it would do and cost, asks, and goes on after a break."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from builders import Sessions, a_phone, all_of
from servers import wait_for
from sqlalchemy import func, select, text
from workbooks import Cell, write_workbook

from models import Message
from worker.campaigns.written import REPORT_COLUMNS

Sms = Callable[..., Any]
TEMPLATE = "Hurmatli {name}, qarzingiz {sum} so'm."
ROWS = ["phone,Name,sum", "+998 90 123 45 67,Ali,100", "901234568,Vali,200"]
MANY = 5_000
PAGE = Path(__file__).parents[2] / "docs/campaigns.md"


@pytest.fixture
def clients(tmp_path: Path) -> Path:
    return a_file(tmp_path)


def a_file(folder: Path, *rows: str) -> Path:
    file = folder / "clients.csv"
    file.write_text("\n".join([*ROWS, *rows, ""]), encoding="utf-8")
    return file


def the_report(file: Path) -> list[dict[str, str]]:
    with Path(f"{file}.report.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def texts(sessions: Sessions) -> list[str]:
    return [message.text for message in all_of(sessions, Message)]


@pytest.fixture
def priced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_PRICE_PER_PART", "95")
    monkeypatch.setenv("SMS_PRICE_PER_PART_OF_NICKNAME", "BANK=120.5")


@pytest.mark.usefixtures("priced")
def test_a_dry_run_tells_all_and_changes_nothing(sms: Sms, sessions: Sessions, tmp_path: Path) -> None:
    file = a_file(tmp_path, "12345,Aziz,300", "998901234567,Ali oʻgʻli,100", "998901234569,Olim,")

    answer = sms("import", str(file), "--template", TEMPLATE, "--dry-run")

    name = answer.out.splitlines()[0].rpartition(" ")[2]
    assert answer.out.splitlines() == [
        f"5 rows, campaign {name}",
        "To order: 3 messages on the lane bulk.",
        "Parts: 3 in all; messages by parts: 3 of 1.",
        "Encoding: gsm 2, ucs2 1.",
        "Price: 285 UZS at 95 UZS a part.",
        "Example, line 2, to ********4567: Hurmatli Ali, qarzingiz 100 so'm.",
        "Not to be ordered: 2 rows (phone_invalid 1, value_missing 1).",
        f"  line 4 *2345: phone_invalid. {_explanation(sms, file)}",
        "  line 6 ********4569: value_missing. The column 'sum' is empty; --allow-empty lets it be.",
        "The same phone again: 1 row; --once orders only the first of a phone's rows.",
        "  line 5 ********4567: as in line 2",
        "Nothing was ordered: this was a dry run.",
    ]
    assert (answer.code, texts(sessions), list(tmp_path.glob("*.report.csv"))) == (0, [], [])


def _explanation(sms: Sms, file: Path) -> str:
    """Of the number that is none, in intake's words."""
    report = file.with_name("dry.csv")
    sms("import", str(file), "--template", TEMPLATE, "--dry-run", "--report", str(report))
    with report.open(encoding="utf-8", newline="") as lines:
        return next(row["explanation"] for row in csv.DictReader(lines) if row["line"] == "4")


def around_now() -> str:
    """Hours that cover this moment in Tashkent."""
    now = datetime.now(ZoneInfo("Asia/Tashkent"))
    return f"{now - timedelta(hours=2):%H:%M}-{now + timedelta(hours=2):%H:%M}"


def test_that_the_staging_recipients_get_them_is_said(
    sms: Sms, sessions: Sessions, clients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMS_STAGING_RECIPIENTS", "998900000001,998900000002")
    words = ("import", str(clients), "--template", TEMPLATE)

    dry, done = sms(*words, "--dry-run"), sms(*words, "--yes")

    said = "All go to the 2 staging recipients instead (SMS_STAGING_RECIPIENTS), none to the phones of the file."
    assert dry.out.splitlines()[2] == said
    assert done.out.splitlines()[-3:-1] == ["Queued: 2 messages (2 parts).", said]
    assert {message.phone for message in all_of(sessions, Message)} <= {"998900000001", "998900000002"}


def test_that_they_wait_for_the_end_of_the_quiet_hours_is_said(
    sms: Sms, clients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = around_now()
    monkeypatch.setenv("SMS_QUIET_HOURS_BULK", hours)
    words = ("import", str(clients), "--template", TEMPLATE)

    others = sms(*words, "--lane", "normal", "--dry-run")
    dry, done = sms(*words, "--dry-run"), sms(*words, "--yes", "--json")

    said = f"Quiet hours: nothing of the lane bulk is posted before {hours[-5:]} (Asia/Tashkent)."
    assert said in dry.out.splitlines()
    assert json.loads(done.out)["notes"] == [said]
    assert "Quiet hours" not in others.out


def test_the_same_person_looks_the_same_on_each_line(sms: Sms, tmp_path: Path) -> None:
    rows = ("90 123 45 67,Ali,1", "+998 (90) 123-45-67,Ali,", "71 123-45-67,Office,1", "Ali,Ali,1")

    out = sms("import", str(a_file(tmp_path, *rows)), "--template", TEMPLATE, "--dry-run").out

    masks = re.findall(r"^  line (\d)(?: (\S+))?: ", out, re.MULTILINE)
    assert masks == [
        *[("5", "********4567"), ("6", "*****4567"), ("7", "")],
        *[("4", "********4567"), ("5", "********4567")],
    ]


def test_a_header_alone_asks_for_nothing(sms: Sms, tmp_path: Path) -> None:
    file = tmp_path / "clients.csv"
    file.write_text(ROWS[0], encoding="utf-8")

    answer = sms("import", str(file), "--template", TEMPLATE, "--dry-run")

    assert answer.code == 0
    assert answer.out.splitlines()[1] == "There is nothing behind the header: nobody would get an SMS."


def test_a_number_that_excel_shortened_is_told_how_to_be_mended(sms: Sms, tmp_path: Path) -> None:
    file = a_file(tmp_path, '"9,98901E+11",Olim,1')

    answer = sms("import", str(file), "--template", TEMPLATE, "--yes")

    assert "Excel shortened it: make the column text" in answer.out
    assert the_report(file)[-1]["explanation"].endswith("Excel shortened it: make the column text, and fill it anew.")


def test_it_asks_before_it_orders(sms: Sms, sessions: Sessions, clients: Path) -> None:
    no = sms("import", str(clients), "--template", TEMPLATE, say="n\n")
    before = texts(sessions)
    yes = sms("import", str(clients), "--template", TEMPLATE, say="y\n")

    assert "Order 2 now? [y/N]" in no.out
    assert (no.code, before) == (1, [])
    assert yes.code == 0
    assert texts(sessions) == ["Hurmatli Ali, qarzingiz 100 so'm.", "Hurmatli Vali, qarzingiz 200 so'm."]


def test_nobody_to_ask_means_no(sms: Sms, sessions: Sessions, clients: Path) -> None:
    assert sms("import", str(clients), "--template", TEMPLATE).code == 1
    assert texts(sessions) == []


def test_a_second_run_says_how_many_were_there(sms: Sms, sessions: Sessions, clients: Path) -> None:
    sms("import", str(clients), "--template", TEMPLATE, "--yes")

    again = sms("import", str(clients), "--template", TEMPLATE)

    assert "There already, and left as they are: 2." in again.out.splitlines()
    assert (again.code, len(texts(sessions))) == (0, 2)


def test_the_report_tells_of_each_row(sms: Sms, sessions: Sessions, tmp_path: Path) -> None:
    file = a_file(tmp_path, "=1+1,Aziz,300", "only")

    answer = sms("import", str(file), "--template", TEMPLATE, "--yes")

    report = the_report(file)
    assert answer.code == 1
    assert "Refused: 2 (phone_invalid 1, row_invalid 1)." in answer.out
    assert list(report[0]) == list(REPORT_COLUMNS)
    assert [(row["line"], row["phone"], row["outcome"], row["reason"], row["state"]) for row in report] == [
        ("2", "+998 90 123 45 67", "queued", "", "queued"),
        ("3", "901234568", "queued", "", "queued"),
        ("4", "'=1+1", "refused", "phone_invalid", ""),
        ("5", "", "refused", "row_invalid", ""),
    ]
    assert [row["uid"] for row in report[:2]] == [message.uid for message in all_of(sessions, Message)]
    assert Path(f"{file}.report.csv").stat().st_mode & 0o777 == 0o600


def test_programs_get_one_object(sms: Sms, clients: Path) -> None:
    dry = json.loads(sms("import", str(clients), "--template", TEMPLATE, "--dry-run", "--json").out)
    done = json.loads(sms("import", str(clients), "--template", TEMPLATE, "--yes", "--json").out)

    assert (dry["dry_run"], dry["rows"], dry["new"], dry["report"]) == (True, 2, 2, None)
    assert dry["parts"] == {"min": 1, "max": 1, "total": 2, "messages_by_parts": {"1": 2}}
    assert (done["dry_run"], done["queued"], done["campaign"]) == (False, 2, dry["campaign"])
    assert done["report"] == f"{clients}.report.csv"


@pytest.mark.usefixtures("priced")
def test_a_nickname_has_its_own_price(sms: Sms, clients: Path) -> None:
    words = ("import", str(clients), "--template", TEMPLATE, "--nickname", "BANK", "--dry-run", "--json")

    assert json.loads(sms(*words).out)["price"] == 241.0


def test_what_is_said_for_all_is_said_for_each(sms: Sms, sessions: Sessions, clients: Path) -> None:
    words = ["--lane", "normal", "--producer", "crm", "--nickname", "SHOP", "--spread", "2h", "--as", "me"]
    times = ["--send-at", "2031-01-01T09:00", "--expires-at", "2031-01-02"]

    sms("import", str(clients), "--text-column", "name", "--campaign", "spring", *words, *times, "--yes")

    message, other = all_of(sessions, Message)
    start = datetime(2031, 1, 1, 4, tzinfo=UTC)
    assert (message.text, message.lane, message.producer, message.nickname) == ("Ali", "normal", "crm", "SHOP")
    assert str(message.key).startswith("spring:")
    assert message.tags == {"campaign": "spring", "imported_by": "me", "line": 2}
    assert message.expires_at == datetime(2031, 1, 1, 19, tzinfo=UTC)
    assert message.send_at != other.send_at
    assert all(start <= one.send_at < start + timedelta(hours=2) for one in (message, other))


def test_a_workbook_is_imported_like_csv(sms: Sms, sessions: Sessions, tmp_path: Path) -> None:
    rows: list[tuple[Cell, ...]] = [("Phone", "Name", "Sum"), (998901234567.0, "Ali", 100.0)]
    file = write_workbook(tmp_path / "clients.xlsx", {"Notes": [], "Clients": rows})

    assert sms("import", str(file), "--sheet", "Clients", "--template", TEMPLATE, "--yes").code == 0
    assert texts(sessions) == ["Hurmatli Ali, qarzingiz 100 so'm."]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param(
            ["--column", "phones", "--template", "x"], "no column 'phones'. Did you mean 'phone'?", id="column"
        ),
        pytest.param(["--column", "tel", "--template", "x"], "Say with --column which", id="how to name the column"),
        pytest.param(["--template", "x", "--delimiter", ";"], "The header looks as if ',' stood", id="delimiter"),
        pytest.param(["--template", "{name.__class__}"], "no column 'name.__class__'", id="an attribute"),
        pytest.param(["--template", "{name!r}"], "formats and conversions are not known", id="a conversion"),
        pytest.param([], "Give either --template", id="no words"),
        pytest.param(["--template", "x", "--text-column", "name"], "Give either --template", id="words twice"),
        pytest.param(["--template", "x", "--spread", "soon"], "--spread 'soon'", id="no time to spread over"),
        pytest.param(["--template", "x", "--spread", "31d"], "at most 30 days", id="too long a time"),
        pytest.param(["--template", "x", "--send-at", "soon"], "--send-at 'soon' is no time", id="no time"),
        pytest.param(["--template", "x", "--expires-at", "2001-01-01"], "--expires-at is over", id="over already"),
        pytest.param(["--template", "x", "--campaign", "a:b"], "--campaign", id="a colon"),
        pytest.param(["--template", "x", "--producer", " "], "--producer is empty", id="no producer"),
        pytest.param(["--template", "x", "--encoding", "x"], "--encoding 'x'", id="no encoding"),
        pytest.param(["--template", "x", "--report", "clients.csv"], "--report is the file itself", id="over the file"),
        pytest.param(["--template", "x", "--json"], "--json cannot ask", id="nobody to ask"),
    ],
)
def test_wrong_words_are_one_line(sms: Sms, sessions: Sessions, clients: Path, words: list[str], line: str) -> None:
    answer = sms("import", str(clients), *words)

    assert (answer.code, answer.out) == (2, "")
    assert line in answer.err
    assert answer.err.count("\n") == 1
    assert texts(sessions) == []


def test_a_report_that_cannot_be_written_stops_before_anything_is_ordered(
    sms: Sms, sessions: Sessions, clients: Path
) -> None:
    answer = sms("import", str(clients), "--template", TEMPLATE, "--yes", "--report", "nowhere/report.csv")

    assert (answer.code, answer.out, texts(sessions)) == (2, "", [])
    assert answer.err.startswith("sms: nowhere/report.csv cannot be written: there is no folder nowhere. Name another")


@pytest.mark.parametrize("words", [[], ["--report", "clients.csv.report.csv"]], ids=["not given", "given"])
def test_a_file_of_others_is_never_replaced_by_the_report(
    sms: Sms, sessions: Sessions, clients: Path, words: list[str]
) -> None:
    report = Path(f"{clients}.report.csv")
    report.write_text("notes of mine\n", encoding="utf-8")

    answer = sms("import", str(clients), "--template", TEMPLATE, "--yes", *words)

    assert (answer.code, answer.out, texts(sessions)) == (2, "", [])
    assert "is there already, and is no earlier one of ours. Name another file with --report" in answer.err
    assert report.read_text(encoding="utf-8") == "notes of mine\n"


def test_a_dry_run_without_a_report_minds_no_file(sms: Sms, clients: Path) -> None:
    Path(f"{clients}.report.csv").write_text("notes of mine\n", encoding="utf-8")

    assert sms("import", str(clients), "--template", TEMPLATE, "--dry-run").code == 0


def test_the_report_is_never_the_file_under_another_name(sms: Sms, clients: Path) -> None:
    clients.with_name("same.csv").hardlink_to(clients)

    answer = sms("import", str(clients), "--template", TEMPLATE, "--yes", "--report", "same.csv")

    assert (answer.code, answer.err) == (2, "sms: --report is the file itself: give another one.\n")


@pytest.mark.parametrize(
    ("meanwhile", "line"),
    [
        pytest.param(lambda file: file.unlink(), "cannot be read any more: No such file or directory.", id="gone"),
        pytest.param(lambda file: file.write_text("phone\n"), "it was written to since", id="another one"),
    ],
)
def test_a_file_that_is_not_what_was_agreed_to_any_more_is_not_ordered(
    sms: Sms, clients: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Any, line: str
) -> None:
    monkeypatch.setattr("typer.confirm", lambda _: meanwhile(clients) or True)

    answer = sms("import", str(clients), "--template", TEMPLATE)

    assert answer.code == 2
    assert line in answer.err
    assert not Path(f"{clients}.report.csv").exists()


def test_a_quote_that_is_never_closed_stops_before_anything_is_ordered(
    sms: Sms, sessions: Sessions, tmp_path: Path
) -> None:
    answer = sms("import", str(a_file(tmp_path, '901234569,"Olim,1')), "--template", TEMPLATE, "--yes")

    assert (answer.code, texts(sessions)) == (2, [])
    assert 'Line 4: a quote (")' in answer.err


def test_a_corrected_file_is_warned_of_and_told_how_to_go_on(sms: Sms, sessions: Sessions, tmp_path: Path) -> None:
    first = json.loads(sms("import", str(a_file(tmp_path)), "--template", TEMPLATE, "--yes", "--json").out)
    corrected = a_file(tmp_path, "901234569,Olim,300")

    warned = sms("import", str(corrected), "--template", TEMPLATE, "--dry-run")
    words = ("import", str(corrected), "--template", TEMPLATE, "--campaign", first["campaign"], "--yes", "--json")
    done = json.loads(sms(*words).out)

    assert "whoever is in both gets both" in warned.err
    assert f"--campaign {first['campaign']} orders what is not ordered yet" in warned.err
    assert (done["queued"], done["already_there"], len(texts(sessions))) == (1, 2, 3)


def test_another_producer_is_warned_of(sms: Sms, clients: Path) -> None:
    sms("import", str(clients), "--template", TEMPLATE, "--yes")

    warned = sms("import", str(clients), "--template", TEMPLATE, "--producer", "crm", "--dry-run")

    assert "would get it again" in warned.err


def test_other_words_for_the_same_people_are_refused(sms: Sms, sessions: Sessions, clients: Path) -> None:
    sms("import", str(clients), "--template", TEMPLATE, "--yes")

    answer = sms("import", str(clients), "--template", "Kechirasiz, {name}", "--yes")

    assert answer.code == 1
    assert "Refused: 2 (key_reused 2)." in answer.out
    assert len(texts(sessions)) == 2


def test_a_folder_is_no_file(sms: Sms, tmp_path: Path) -> None:
    answer = sms("import", str(tmp_path), "--template", TEMPLATE, "--yes")

    assert (answer.code, answer.err) == (2, f"sms: {tmp_path} is a folder: name the file in it.\n")


def test_a_quick_reader_needs_no_phone_and_no_text(sms: Sms, clients: Path) -> None:
    out = sms("import", str(clients), "--text-column", "name", "--yes", "--json").out

    assert "1234567" not in out
    assert "Ali" not in out


@pytest.mark.usefixtures("priced")
def test_the_page_about_campaigns_shows_what_is_said(sms: Sms, tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (rows,) = re.findall(r"^```csv\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "clients.csv").write_text(rows, encoding="utf-8")
    consoles = "".join(re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    shown = [command.partition("\n") for command in re.split(r"^\$ sms ", consoles, flags=re.MULTILINE)[1:]]

    answers = [(sms(*shlex.split(command)), said) for command, _, said in shown]

    assert len(answers) == 4
    assert all((answer.out + answer.err).endswith(said) for answer, said in answers)
    assert answers[0][0].out == answers[0][1]


def an_import(file: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "worker.cli.main", "import", str(file), "--template", TEMPLATE, "--yes", *words]
    return subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGKILL, -9, id="killed"), pytest.param(signal.SIGINT, 130, id="Ctrl-C")],
)
def test_an_import_that_was_broken_off_goes_on(sessions: Sessions, tmp_path: Path, number: int, code: int) -> None:
    file = a_file(tmp_path, *(f"{a_phone(number)},Nr {number},1" for number in range(2, MANY)))
    broken_off = an_import(file)
    wait_for(lambda: _stored(sessions) > 0 or broken_off.poll() is not None)
    with sessions.begin() as session:  # it waits for us, lest it is done before it hears of the signal
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("LOCK TABLE messages IN EXCLUSIVE MODE"))
        broken_off.send_signal(number)
    _, words = broken_off.communicate()
    before = _stored(sessions)

    with an_import(file, "--json") as again:
        out, _ = again.communicate()

    known = json.loads(out)
    uids = {message.uid for message in all_of(sessions, Message)}
    assert broken_off.returncode == code, words
    told = (
        f"goes on where it was. If you correct the file first, add --campaign {known['campaign']}, or some get it twice"
    )
    assert (told in words) == (number == signal.SIGINT)
    assert 0 < before < MANY
    assert (known["already_there"], known["queued"], len(uids)) == (before, MANY - before, MANY)
    assert {row["uid"] for row in the_report(file)} == uids


def _stored(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalars(select(func.count()).select_from(Message)).one()
