"""Every row of a file is ordered once, however often and by how many it is imported, and each is accounted for."""

import itertools
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Any

from builders import NOON, Sessions, a_phone, all_of, some_terms

from models import Message, RefusedIntake
from models.lifecycle import Lane
from worker.campaigns.campaign import AT_ONCE, Campaign
from worker.campaigns.look import look
from worker.campaigns.ordering import order
from worker.campaigns.outcome import Became, Outcome
from worker.campaigns.rows import Row
from worker.order_fields import Caps, Terms
from worker.store import blocks

ALI, VALI, AZIZ = (a_phone(1), "Ali"), (a_phone(2), "Vali"), (a_phone(3), "Aziz")


class Ticking:
    """Terms of a later instant each time."""

    def __init__(self, start: int = 0, **changes: Any) -> None:
        self._ticks, self._changes = iter(range(start, start + 1_000_000)), changes

    def __call__(self) -> Terms:
        return some_terms(Lane.BULK, now=NOON + timedelta(seconds=next(self._ticks)), **self._changes)


def ordered(campaign: Campaign, sessions: Sessions, terms: Ticking | None = None) -> list[Outcome]:
    later = len(all_of(sessions, Message)) * 1_000
    return list(order(replace(campaign, run=uuid.uuid4()), sessions=sessions, terms=terms or Ticking(later)))


def looked_at(campaign: Campaign, sessions: Sessions, **terms: Any) -> list[Outcome]:
    return list(look(campaign, sessions=sessions, terms=Ticking(**terms)))


def told(outcomes: list[Outcome]) -> list[tuple[int, str, str | None]]:
    return [(one.line.line, one.became.value, one.reason) for one in outcomes]


def texts(sessions: Sessions) -> list[str]:
    return [message.text for message in all_of(sessions, Message)]


def test_each_row_becomes_a_message(sessions: Sessions, a_campaign: Any) -> None:
    defaults = {"nickname": "SHOP", "send_at": "2026-12-01T09:00:00+05:00"}
    campaign = a_campaign(ALI, VALI, defaults=defaults, tags={"imported_by": "me"})

    outcomes = ordered(campaign, sessions)

    assert told(outcomes) == [(2, "queued", None), (3, "queued", None)]
    assert [(one.parts, one.state) for one in outcomes] == [(1, "queued")] * 2
    first, second = all_of(sessions, Message)
    assert (first.uid, first.key) == (outcomes[0].line.uid, outcomes[0].line.key)
    assert (first.phone, first.text, first.lane, first.producer) == (*(ALI[0], "Salom Ali"), "bulk", "import")
    assert (first.nickname, first.tags) == ("SHOP", {"imported_by": "me", "line": 2})
    assert first.send_at.isoformat() == "2026-12-01T04:00:00+00:00"
    assert second.tags["line"] == 3


def test_no_phone_stands_in_a_key(sessions: Sessions, a_campaign: Any) -> None:
    (outcome,) = ordered(a_campaign(ALI), sessions)

    assert ALI[0][3:] not in str(outcome.line.key)


def test_the_same_file_orders_nothing_twice(sessions: Sessions, a_campaign: Any, a_file: Any) -> None:
    ordered(a_campaign(ALI, VALI), sessions)
    elsewhere = a_file(ALI, VALI, name="another name.csv")

    outcomes = ordered(a_campaign(file=elsewhere), sessions)

    assert told(outcomes) == [(2, "already there", None), (3, "already there", None)]
    assert len(texts(sessions)) == 2


def test_an_import_that_was_broken_off_goes_on(sessions: Sessions, a_campaign: Any) -> None:
    rows = [(a_phone(number), f"Nr {number}") for number in range(3 * AT_ONCE)]
    campaign = a_campaign(*rows)
    list(islice(order(campaign, sessions=sessions, terms=Ticking()), AT_ONCE + 1))
    before = len(texts(sessions))

    outcomes = ordered(campaign, sessions)

    assert before == 2 * AT_ONCE
    assert Counter(one.became for one in outcomes) == {Became.THERE: 2 * AT_ONCE, Became.QUEUED: AT_ONCE}
    assert texts(sessions) == [f"Salom Nr {number}" for number in range(3 * AT_ONCE)]


def test_a_corrected_template_sends_nobody_a_second_sms(sessions: Sessions, a_campaign: Any) -> None:
    ordered(a_campaign(ALI, words="Salom {name}, mistake"), sessions)

    again = ordered(a_campaign(ALI, words="Salom {name}"), sessions)

    assert texts(sessions) == ["Salom Ali, mistake"]
    assert told(again) == [(2, "refused", "key_reused")]
    assert [refused.reason for refused in all_of(sessions, RefusedIntake)] == ["key_reused"]
    assert again[0].state == "queued"
    assert "--campaign" in str(again[0].explanation)


def test_a_corrected_file_of_the_same_campaign_orders_what_was_missing(sessions: Sessions, a_campaign: Any) -> None:
    ordered(a_campaign(ALI, ("99890 12", "Vali"), AZIZ, name="spring"), sessions)

    outcomes = ordered(a_campaign(VALI, AZIZ, ALI, name="spring"), sessions)

    assert told(outcomes) == [(2, "queued", None), (3, "already there", None), (4, "already there", None)]
    assert texts(sessions) == ["Salom Ali", "Salom Aziz", "Salom Vali"]


def test_another_campaign_on_purpose_orders_anew(sessions: Sessions, a_campaign: Any) -> None:
    ordered(a_campaign(ALI, name="spring"), sessions)

    assert told(ordered(a_campaign(ALI, name="summer"), sessions)) == [(2, "queued", None)]


def test_a_phone_of_two_rows_gets_both(sessions: Sessions, a_campaign: Any) -> None:
    campaign = a_campaign(ALI, (f"+{ALI[0]}", "Ali again"))

    outcomes = ordered(campaign, sessions)

    assert [(one.line.first_line, one.became) for one in outcomes] == [(None, Became.QUEUED), (2, Became.QUEUED)]
    assert told(ordered(campaign, sessions)) == [(2, "already there", None), (3, "already there", None)]


def test_or_only_the_first_if_once_is_enough(sessions: Sessions, a_campaign: Any) -> None:
    outcomes = ordered(a_campaign(ALI, (f"+{ALI[0]}", "Ali again"), once=True), sessions)

    assert told(outcomes) == [(2, "queued", None), (3, "refused", "phone_repeated")]
    assert texts(sessions) == ["Salom Ali"]


WRONG = {
    "phone_missing": ("", "Nobody"),
    "phone_invalid": ("12345", "Short"),
    "phone_fixed_line": ("998712345678", "Office"),
    "value_missing": (a_phone(7), ""),
    "row_invalid": (a_phone(8),),
    "text_too_long": (a_phone(9), "a" * 2000),
    "text_invalid": (a_phone(10), "\0"),
    "phone_blocked": (a_phone(11), "Stop"),
}


def test_every_wrong_row_is_told_with_its_reason_and_holds_up_no_other(sessions: Sessions, a_campaign: Any) -> None:
    with sessions.begin() as session:
        blocks.block(session, [a_phone(11)], lanes=list(Lane), now=NOON, who="me", reason=None)
    campaign = a_campaign(ALI, *WRONG.values(), VALI)
    wrong = [(line, "refused", reason) for line, reason in enumerate(WRONG, 3)]
    last = 3 + len(WRONG)

    before, after = looked_at(campaign, sessions), ordered(campaign, sessions)
    again = ordered(campaign, sessions)

    assert told(before) == [(2, "new", None), *wrong, (last, "new", None)]
    assert told(after) == [(2, "queued", None), *wrong, (last, "queued", None)]
    assert told(again) == [(2, "already there", None), *wrong, (last, "already there", None)]
    assert texts(sessions) == ["Salom Ali", "Salom Vali"]
    assert all(one.explanation for one in after if one.reason)


def test_what_never_was_an_order_is_no_refused_one(sessions: Sessions, a_campaign: Any) -> None:
    campaign = a_campaign(*(WRONG[reason] for reason in ("row_invalid", "value_missing", "phone_invalid")))

    ordered(campaign, sessions)

    assert [refused.reason for refused in all_of(sessions, RefusedIntake)] == ["phone_invalid"]


def test_a_cap_holds_and_the_rest_is_ordered_another_day(sessions: Sessions, a_campaign: Any) -> None:
    campaign, capped = a_campaign(ALI, VALI, AZIZ), Ticking(caps=Caps(daily_per_producer=2))

    outcomes = ordered(campaign, sessions, capped)
    tomorrow = ordered(campaign, sessions, Ticking(86_400, caps=Caps(daily_per_producer=2)))

    assert [one.reason for one in outcomes] == [None, None, "producer_capped"]
    assert [one.became for one in tomorrow] == [Became.THERE, Became.THERE, Became.QUEUED]


def test_to_look_changes_nothing(sessions: Sessions, a_campaign: Any) -> None:
    looked_at(a_campaign(ALI, ("1", "wrong")), sessions)

    assert all_of(sessions, Message) + all_of(sessions, RefusedIntake) == []


def test_to_look_tells_what_folding_would_save(sessions: Sessions, a_campaign: Any) -> None:
    campaign = a_campaign((ALI[0], "oʻgʻil" * 15), (VALI[0], "Вали" * 20))

    plain, cyrillic = looked_at(campaign, sessions)
    folded, _ = looked_at(campaign, sessions, fold_text=True)

    assert (plain.encoding, plain.parts, plain.folded_parts) == ("ucs2", 2, 1)
    assert (cyrillic.encoding, cyrillic.parts, cyrillic.folded_parts) == ("ucs2", 2, None)
    assert (folded.encoding, folded.parts, folded.folded_parts) == ("gsm", 1, None)


def test_to_look_tells_what_is_there_already(sessions: Sessions, a_campaign: Any) -> None:
    ordered(a_campaign(ALI, name="spring"), sessions)

    same, other = (looked_at(a_campaign(ALI, name="spring", words=words), sessions) for words in ("Salom {name}", "X"))

    assert told(same) == [(2, "already there", None)]
    assert told(other) == [(2, "refused", "key_reused")]


def test_what_settings_make_of_phone_and_text_is_still_the_same_order(sessions: Sessions, a_campaign: Any) -> None:
    staging: dict[str, Any] = {"staging_recipients": (a_phone(99),), "fold_text": True}
    campaign = a_campaign((ALI[0], "oʻgʻil"))
    ordered(campaign, sessions, Ticking(**staging))

    outcomes = ordered(campaign, sessions, Ticking(5, **staging))

    assert told(outcomes) == [(2, "already there", None)]
    assert told(looked_at(campaign, sessions)) == [(2, "already there", None)]


def test_two_at_the_same_time_order_each_row_once(sessions: Sessions, a_campaign: Any) -> None:
    rows = [(a_phone(number), f"Nr {number}") for number in range(4 * AT_ONCE)]
    campaign, ready = a_campaign(*rows), threading.Barrier(2)
    both: list[list[Outcome]] = []

    def run(start: int) -> None:
        ready.wait()
        both.append(list(order(campaign, sessions=sessions, terms=Ticking(start))))

    threads = [threading.Thread(target=run, args=[start]) for start in (0, 500_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = [Counter(one.became for one in outcomes) for outcomes in both]
    assert len(set(texts(sessions))) == len(texts(sessions)) == 4 * AT_ONCE
    assert sum(count[Became.QUEUED] for count in found) == 4 * AT_ONCE
    assert all(count.total() == 4 * AT_ONCE and not count[Became.REFUSED] for count in found)


def test_a_million_rows_take_no_memory(a_campaign: Any) -> None:
    """The file is read as it is needed: an endless one is no other than a short one."""
    endless = a_campaign(ALI, rows=_Endless())

    chunks = list(islice(endless.chunks(), 3))

    assert [len(chunk.lines) for chunk in chunks] == [AT_ONCE] * 3


class _Endless:
    header = ("phone", "name")

    def __iter__(self) -> Iterator[Row]:
        return (Row(number, (a_phone(number), "x")) for number in itertools.count(2))
