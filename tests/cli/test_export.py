"""``sms export`` writes whatever meets the filters, and no phone or text unless it is asked to."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import NOON, Sessions, a_batch, many_stored, stored
from sqlalchemy import delete, event
from terminal import OnTerminal

from models import Message
from models.lifecycle import BatchState, Lane, MessageState
from worker.cli.export import COLUMNS, REVEALED
from worker.store.exports import exported
from worker.store.listing import Wanted

PHONE, TEXT = "998901234567", "Your code is 4821"
Sms = Callable[..., Any]


def rows_of(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.out, newline="")))


def uids_of(answer: Any) -> list[str]:
    return [row["uid"] for row in rows_of(answer)]


def test_a_message_is_a_row_of_csv(sms: Sms, sessions: Sessions) -> None:
    sms_id = stored(sessions, uid="u1", key="k", state=MessageState.DELIVERED, phone=PHONE, text=TEXT, billed_parts=1)

    answer = sms("export")

    (row,) = rows_of(answer)
    known = {"id": str(sms_id), "uid": "u1", "key": "k", "phone": "********4567", "state": "delivered"}
    known |= {"ordered_phone": "", "billed_parts": "1", "delivered_at": "2026-11-30T12:00:00+00:00", "expires_at": ""}
    assert tuple(row) == COLUMNS
    assert {name: row[name] for name in known} == known
    assert (answer.code, answer.err) == (0, "1 message\n")


def test_or_a_line_of_json(sms: Sms, sessions: Sessions) -> None:
    stored(sessions, uid="u1", phone=PHONE, ordered_phone="998901234568", operator="Beeline")

    by_format, by_json = sms("export", "--format", "jsonl"), sms("export", "--json")

    row = json.loads(by_format.out)
    assert tuple(row) == COLUMNS
    assert (row["phone"], row["ordered_phone"], row["parts"], row["key"]) == ("********4567", "********4568", 1, None)
    assert by_format == by_json


@pytest.mark.parametrize("written", ["csv", "jsonl"])
def test_no_phone_and_no_text_is_shown_unasked(sms: Sms, sessions: Sessions, written: str) -> None:
    stored(sessions, phone=PHONE, text=TEXT, ordered_phone=PHONE, ordered_text=TEXT, tags={"code": "4821"})

    answer = sms("export", "--format", written)

    assert "90123" not in answer.out
    assert "4821" not in answer.out


def test_no_terminal_obeys_what_others_wrote_and_a_file_holds_it_as_it_came(
    sms: Sms, sessions: Sessions, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    stored(sessions, key="k\x1b[2J", text="one\ntwo\x9b2J")
    env = {name: value for name, value in os.environ.items() if name.startswith("SMS_")}
    env |= {"SMS_DATABASE_URL": database_url, "SMS_REDIS_URL": redis_url}

    with OnTerminal(tmp_path, env, "export", "--reveal", columns=1_000) as terminal:
        seen = terminal.wait_until_drawn("1 message")
        raw = terminal.seen
    (row,) = rows_of(sms("export", "--reveal"))

    assert "k\\x1b[2J" in seen
    assert "one\\ntwo\\x9b2J" in seen
    assert not [one for one in (b"\x1b[2J", "\x9b".encode()) if one in raw]
    assert (row["key"], row["text"]) == ("k\x1b[2J", "one\ntwo\x9b2J")


def test_they_are_shown_to_whoever_asks(sms: Sms, sessions: Sessions) -> None:
    stored(sessions, phone=PHONE, text=TEXT, ordered_text="Sizning “kod”", tags={"order": 7})

    (row,) = rows_of(sms("export", "--reveal"))
    known = json.loads(sms("export", "--reveal", "--json").out)

    assert tuple(row) == tuple(known) == (*COLUMNS, *REVEALED)
    assert (row["phone"], row["text"], row["ordered_text"], row["tags"]) == (
        PHONE,
        TEXT,
        "Sizning “kod”",
        '{"order": 7}',
    )
    assert (known["phone"], known["text"], known["tags"]) == (PHONE, TEXT, {"order": 7})


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--state", "delivered"], id="a state"),
        pytest.param(["--state", "delivered", "--state", "failed"], id="one of some states"),
        pytest.param(["--lane", "otp"], id="a lane"),
        pytest.param(["--producer", "bank"], id="a producer"),
        pytest.param(["--key-prefix", "spring_1%:"], id="how a key begins, with what SQL takes for a pattern"),
        pytest.param(["--phone", "+998 90 123-45-67"], id="a phone, as people write it"),
        pytest.param(["--nickname", "BANK"], id="a nickname"),
        pytest.param(["--request-id", "777"], id="a request"),
        pytest.param(["--batch", "BATCH"], id="a batch"),
        pytest.param(["--since", "2026-11-30T18:00"], id="since, in the zone of the settings"),
        pytest.param(["--since", "2026-11-30T13:00:00+00:00", "--until", "2026-12-01"], id="since and until"),
        pytest.param(["--lane", "otp", "--producer", "bank", "--state", "delivered"], id="all that is given"),
    ],
)
def test_a_filter_picks_what_it_says(sms: Sms, sessions: Sessions, words: list[str]) -> None:
    with sessions.begin() as session:
        batch = a_batch(session, state=BatchState.ACCEPTED, accepted=1, refused=0)
    for number, key in enumerate(("springs1x:2", "SPRING_1%:2")):
        stored(sessions, uid=f"other {number}", key=key)
    known: dict[str, Any] = {"lane": Lane.OTP, "producer": "bank", "key": "spring_1%:2", "phone": PHONE}
    known |= {"nickname": "BANK", "request_id": "777", "batch_id": batch, "created_at": NOON + timedelta(hours=1)}
    stored(sessions, uid="this", state=MessageState.DELIVERED, **known)

    answer = sms("export", *(str(batch) if word == "BATCH" else word for word in words))

    assert uids_of(answer) == ["this"]


def test_a_time_is_left_out_by_until(sms: Sms, sessions: Sessions) -> None:
    stored(sessions, uid="this")
    stored(sessions, uid="later", created_at=NOON + timedelta(microseconds=1))

    at_noon = ["--since", NOON.isoformat(), "--until", (NOON + timedelta(microseconds=1)).isoformat()]

    assert uids_of(sms("export", *at_noon)) == ["this"]


def test_a_number_that_was_sent_elsewhere_is_found(sms: Sms, sessions: Sessions) -> None:
    stored(sessions, uid="staged", ordered_phone=PHONE, phone="998900000000")

    assert uids_of(sms("export", "--phone", PHONE)) == ["staged"]


def test_nothing_is_a_header_alone(sms: Sms) -> None:
    answer = sms("export")

    assert (answer.out, answer.err) == (",".join(COLUMNS) + "\n", "0 messages\n")


def test_at_most_so_many_are_written(sms: Sms, sessions: Sessions) -> None:
    many_stored(sessions, 5)

    assert [row["id"] for row in rows_of(sms("export", "--limit", "3"))] == ["1", "2", "3"]


@pytest.mark.parametrize("slice_of", [1, 3, 7, 100])
def test_all_of_them_come_once_however_they_are_sliced(sessions: Sessions, slice_of: int) -> None:
    ids = many_stored(sessions, 20)
    gone = ids[0], ids[4], ids[5], ids[6], ids[7]
    with sessions.begin() as session:
        session.execute(delete(Message).where(Message.id.in_(gone)))

    found = [row[0] for row in exported(sessions, Wanted(), ["id"], slice_of=slice_of)]

    assert found == sorted(set(ids) - set(gone))


def test_no_slice_is_held_in_a_transaction_while_it_is_written(sessions: Sessions) -> None:
    many_stored(sessions, 20)
    open_ones: list[str] = []
    event.listen(sessions.kw["bind"], "begin", lambda _: open_ones.append("begun"))
    for ended in ("commit", "rollback"):
        event.listen(sessions.kw["bind"], ended, lambda _: open_ones.pop())

    for _ in exported(sessions, Wanted(), ["id"], slice_of=5):
        assert open_ones == []


def test_what_comes_while_it_is_written_is_of_the_next_export(sessions: Sessions) -> None:
    ids = many_stored(sessions, 3)
    rows = exported(sessions, Wanted(), ["id"], slice_of=2)

    first = next(rows)
    many_stored(sessions, 3)

    assert [first[0], *(row[0] for row in rows)] == ids


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"], ids=["=", "+", "-", "@", "tab", "return"])
def test_no_spreadsheet_finds_a_formula(sms: Sms, sessions: Sessions, start: str) -> None:
    formula = f"{start}cmd|' /C calc'!A1"
    stored(sessions, text=formula, key=formula)

    (row,) = rows_of(sms("export", "--reveal"))
    known = json.loads(sms("export", "--reveal", "--json").out)

    assert (row["text"], row["key"]) == (f"'{formula}", f"'{formula}")
    assert (known["text"], known["key"]) == (formula, formula)


def test_a_file_is_written_whole_and_for_its_owner_alone(sms: Sms, sessions: Sessions, tmp_path: Path) -> None:
    stored(sessions, uid="u1", text="Salom,\n“dunyo”")
    file = tmp_path / "out.csv"
    file.write_text("")

    answer = sms("export", "--reveal", "--output", str(file))

    with file.open(encoding="utf-8", newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert (row["uid"], row["text"]) == ("u1", "Salom,\n“dunyo”")
    assert file.stat().st_mode & 0o777 == 0o600
    assert (answer.out, answer.err) == ("", f"1 message in {file}\n")
    assert [found.name for found in tmp_path.iterdir() if found.name.startswith(".out")] == []


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["csv", "jsonl"])
@pytest.mark.parametrize("then", [[], ["--reveal"]], ids=["masked", "revealed"])
def test_an_earlier_export_is_replaced(
    sms: Sms, sessions: Sessions, tmp_path: Path, words: list[str], then: list[str]
) -> None:
    file = tmp_path / "out"
    stored(sessions, uid="u1")
    sms("export", *words, *then, "--output", str(file))
    stored(sessions, uid="u2")

    answer = sms("export", "--output", str(file))

    assert (answer.code, answer.err) == (0, f"2 messages in {file}\n")
    assert [row["uid"] for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())] == ["u1", "u2"]


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(b"phone,name\n998901234567,Ali\n", id="another table"),
        pytest.param(b"\n", id="an empty line"),
        pytest.param(b"SQLite format 3\0\xff", id="a database"),
        pytest.param(b'{"id": 1}\n', id="another object"),
        pytest.param(b'{"id": ' + b"[" * 100_000, id="no JSON"),
    ],
)
def test_a_file_of_others_is_never_replaced(sms: Sms, tmp_path: Path, there: bytes) -> None:
    file = tmp_path / "out.csv"
    file.write_bytes(there)

    answer = sms("export", "--output", str(file))

    assert (answer.code, answer.out, file.read_bytes()) == (2, "", there)
    assert answer.err.startswith(f"sms: {file} is there already, and is no earlier one of ours. Name another")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_the_database_is_never_replaced(sms: Sms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setenv("SMS_DATABASE_URL", "sqlite:///sms.db")
    (tmp_path / "sms.db").touch()

    answer = sms("export", "--output", str(tmp_path / f"sms.db{end}"))

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert f"sms.db{end} is a file of the database. Name another file with --output" in answer.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param(["--output", "nowhere/out.csv"], "cannot be written: there is no folder nowhere.", id="no folder"),
        pytest.param(["--output", "."], ". cannot be written: it is a folder", id="a folder"),
        pytest.param(["--phone", "123"], "--phone: ", id="no phone"),
        pytest.param(["--producer", ""], "--producer is empty", id="nothing"),
        pytest.param(["--since", "soon"], "--since 'soon' is no time", id="no time"),
        pytest.param(["--since", "2026-12-02", "--until", "2026-12-01"], "--since is not before", id="no time between"),
    ],
)
def test_what_cannot_be_done_is_one_line(sms: Sms, words: list[str], line: str) -> None:
    answer = sms("export", *words)

    assert (answer.code, answer.out) == (2, "")
    assert line in answer.err
    assert answer.err.count("\n") == 1


def an_export(*words: str, stdout: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "worker.cli.main", "export", *words]
    return subprocess.Popen(command, env=os.environ, stdout=stdout, stderr=subprocess.PIPE)


@pytest.mark.usefixtures("house")
def test_whoever_has_read_enough_hears_no_complaint(sessions: Sessions) -> None:
    many_stored(sessions, 2_000)

    with an_export(stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        first = process.stdout.readline()
        process.stdout.close()
        complaint = process.stderr.read()

    assert first.startswith(b"id,uid,")
    assert complaint == b""


@pytest.mark.usefixtures("house")
def test_a_full_disk_is_one_line(sessions: Sessions) -> None:
    many_stored(sessions, 2_000)

    with Path("/dev/full").open("wb") as full, an_export(stdout=full) as process:
        _, complaint = process.communicate()

    assert (process.returncode, complaint) == (2, b"sms: Standard output cannot be written: No space left on device.\n")
