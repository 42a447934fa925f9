"""The journal, the counts and the faults, as tests and the demo use them."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from worker.sandbox.faults import Fault, Strike

PHONE = "998909711322"
SMS = {"phone": PHONE, "text": "x"}


def statuses(sandbox: Any, post: Any, posts: int) -> list[int]:
    return [post(sandbox, [SMS]).status_code for _ in range(posts)]


def test_the_journal_has_every_message_in_order_over_all_pages(sandbox: Any, post: Any) -> None:
    for number in range(60):
        post(sandbox, [{"phone": PHONE, "text": f"{number}-{place}"} for place in range(100)], nickname="SHOP")

    journal = sandbox.control.journal()

    assert [sms["text"] for sms in journal] == [f"{number}-{place}" for number in range(60) for place in range(100)]
    assert {sms["request"] for sms in journal} == set(range(1, 61))
    assert journal[0].keys() == {"at", "request", "request_id", "message_id", "phone", "text", "nickname", "parts"}


def test_the_counts_tell_what_was_posted_twice(sandbox: Any, post: Any) -> None:
    post(sandbox, [SMS, {"phone": "998901112233", "text": "x"}])
    post(sandbox, [SMS | {"text": "another"}])
    post(sandbox, [SMS])
    post(sandbox, [{"request_id": "1"}], "/status/")

    assert sandbox.control.stats() == {
        "send_requests": 3,
        "status_requests": 1,
        "requests_taken": 3,
        "messages_taken": 4,
        "batch_sizes": {"1": 2, "2": 1},
        "phones": 2,
        "phones_repeated": 1,
        "messages_repeated": 1,
        "faults_struck": {},
    }


def test_a_restart_knows_what_was_taken(open_sandbox: Any, post: Any, tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    (taken,) = post(open_sandbox(journal=file), [SMS]).json()

    again = open_sandbox(journal=file)
    (report,) = post(again, [{"request_id": taken["request_id"]}], "/status/").json()
    post(again, [SMS])

    assert report["message_id"] == str(taken["message_id"])
    assert [sms["request"] for sms in again.control.journal()] == [1, 2]
    assert len(file.read_text().splitlines()) == 2


def test_a_line_is_written_before_the_answer_leaves(open_sandbox: Any, post: Any, tmp_path: Path) -> None:
    sandbox = open_sandbox(journal=tmp_path / "journal.jsonl")

    post(sandbox, [{"phone": PHONE, "text": "ў 😀"}])

    (line,) = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert json.loads(line) == sandbox.control.journal()[0]


def test_a_torn_line_of_a_killed_sandbox_is_given_up(open_sandbox: Any, post: Any, tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    post(open_sandbox(journal=file), [SMS])
    file.write_text(file.read_text() + '{"at": "2018-07-')

    again = open_sandbox(journal=file)
    post(again, [SMS])

    assert len(again.control.journal()) == len(file.read_text().splitlines()) == 2


def test_a_fault_strikes_as_often_as_it_was_told(sandbox: Any, post: Any) -> None:
    sandbox.control.set_faults(Fault("forbidden", count=2))

    assert statuses(sandbox, post, 4) == [403, 403, 200, 200]
    assert sandbox.control.stats()["faults_struck"] == {"forbidden": 2}
    assert sandbox.control.faults() == [Fault("forbidden", on=["send"], count=0)]


def test_a_fault_strikes_as_likely_as_it_was_told(sandbox: Any, post: Any) -> None:
    sandbox.control.set_faults(Fault("forbidden", probability=0.5))

    assert set(statuses(sandbox, post, 40)) == {403, 200}


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        pytest.param(["send"], (502, 200), id="sending"),
        pytest.param(["status"], (200, 502), id="asking"),
        pytest.param(["send", "status"], (502, 502), id="both"),
    ],
)
def test_a_fault_strikes_where_it_was_told(sandbox: Any, post: Any, on: Any, expected: tuple[int, int]) -> None:
    with sandbox.control.having(Fault("bad-gateway-before", on=on)):
        sent, asked = post(sandbox, [SMS]), post(sandbox, [{"request_id": "1"}], "/status/")

    assert (sent.status_code, asked.status_code) == expected
    assert statuses(sandbox, post, 1) == [200]


def test_every_strike_names_whom_it_struck(sandbox: Any, post: Any) -> None:
    with sandbox.control.having(Fault("bad-gateway-after", on=["send", "status"])):
        post(sandbox, [SMS, {"phone": "998901112233", "text": "x"}])
        post(sandbox, [{"request_id": "1"}], "/status/")
        post(sandbox, "no JSON")
    with sandbox.control.having(Fault("cut-before")), pytest.raises(requests.ConnectionError):
        post(sandbox, [SMS])
    post(sandbox, [SMS])

    assert sandbox.control.strikes() == [
        Strike("bad-gateway-after", "send", [PHONE, "998901112233"]),
        Strike("bad-gateway-after", "status", ["1"]),
        Strike("bad-gateway-after", "send", []),
        Strike("cut-before", "send", []),
    ]


def test_an_error_may_have_any_number(sandbox: Any, post: Any) -> None:
    with sandbox.control.having(Fault("error", error_no=777)):
        answer = post(sandbox, [SMS]).json()

    assert answer == {"error": 1, "error_text": "Unknown error", "error_no": 777}


def test_a_guilty_text_makes_its_request_refused_and_no_other(sandbox: Any, post: Any) -> None:
    with sandbox.control.having(Fault("guilty", marker="BOOM")):
        guilty = post(sandbox, [SMS, {"phone": PHONE, "text": "a BOOM b"}]).json()
        innocent = post(sandbox, [SMS]).json()

    assert guilty["error_no"] == 201
    assert innocent[0]["recipient"] == 998909711322
    assert len(sandbox.control.journal()) == 1


def test_refused_connections_cut_the_open_ones_too_and_come_back_on_the_same_port(sandbox: Any, post: Any) -> None:
    post(sandbox, [SMS])

    for _ in range(3):
        with sandbox.control.having(Fault("refuse-connections")), pytest.raises(requests.ConnectionError):
            post(sandbox, [SMS])

        assert statuses(sandbox, post, 2) == [200, 200]


@pytest.mark.parametrize(
    "faults",
    [{}, [1], [{}], [{"kind": "earthquake"}], [{"kind": "hang", "on": ["x"]}], [{"kind": "guilty"}], [{"oops": 1}]],
    ids=str,
)
def test_a_fault_that_does_not_exist_is_told_and_changes_nothing(sandbox: Any, faults: Any) -> None:
    sandbox.control.set_faults(Fault("forbidden"))

    answer = requests.put(sandbox.control_url + "/faults", json=faults, timeout=20)

    assert answer.status_code == 400
    assert [fault.kind for fault in sandbox.control.faults()] == ["forbidden"]


@pytest.mark.parametrize("settings", [[], {"x": 1}, {"latency_seconds": "slow"}, {"request_ids": "mine"}], ids=str)
def test_a_setting_that_does_not_exist_is_told(sandbox: Any, settings: Any) -> None:
    assert requests.put(sandbox.control_url + "/settings", json=settings, timeout=20).status_code == 400
