"""A report proves that a message in doubt was taken only where it can be of no other message."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from anything import fewer
from builders import Sessions, a_phone
from fates import BY_MESSAGE, PostAnswer
from hypothesis import given, note
from hypothesis import strategies as some
from producers import Producers, Wish
from walking import House

from models.lifecycle import Lane, MessageState
from worker.gateway import Report

MESSAGES = 4
A_DAY = timedelta(days=1)


def strangers_among(truth: Sequence[Report], dice: Random) -> list[Report]:
    """The truth, and rows that are wrong in at least one of phone, text and day, in any order."""
    rows = list(truth)
    for number in range(dice.randint(1, 4)):
        phone = a_phone(dice.randint(1, MESSAGES))
        row = replace(
            dice.choice(truth),
            message_id=dice.choice([f"9{number}", f"9{number}", None]),
            recipient=phone,
            text=f"Hello {dice.randint(0, 1)}",
            state=dice.choice([MessageState.DELIVERED, None]),
        )
        odd = dice.choice(["phone", "text", "day", "no day", "no text"])
        wrong = {
            "phone": {"recipient": phone[:-1] + "9"},
            "text": {"text": f"{row.text}!"},
            "day": {"received_at": row.received_at and row.received_at + dice.choice([-3, 3, 700]) * A_DAY},
            "no day": {"received_at": None},
            "no text": {"text": None},
        }
        rows.append(replace(row, **wrong[odd]))  # type: ignore[arg-type]
    dice.shuffle(rows)
    return rows


@pytest.mark.usefixtures("quiet")
@fewer(by=8)
@given(dice=some.randoms(use_true_random=True))
def test_no_strangers_row_confirms_a_message_in_doubt(fast_sessions: Sessions, dice: Random) -> None:
    house = House(fast_sessions, "shared", dict.fromkeys(Lane, "hold"), batch_max_messages=50)
    fates = ("taken", *dice.choices(["unanswered", *BY_MESSAGE], k=MESSAGES - 1))
    answer = PostAnswer("each", fates, really=dice.choice([True, False, False]))
    reported: list[Report] = []

    def crowd(truth: Sequence[Report]) -> list[Report]:
        reported.extend(strangers_among(truth, dice))
        return reported

    house.vendor.crowd = crowd
    producers = Producers(house, fast_sessions)
    for _ in range(MESSAGES):
        producers.order(Wish())
    house.post(answer)
    house.clock.advance(seconds=10)

    house.hear(house.ask(), "the truth")
    note(f"{answer}\n{[(row.message_id, row.recipient, row.text, row.received_at) for row in reported]}")

    house.ledger.check()


@pytest.mark.usefixtures("quiet")
def test_a_row_of_its_own_confirms_a_message_in_doubt(fast_sessions: Sessions) -> None:
    house = House(fast_sessions, "shared", dict.fromkeys(Lane, "hold"), batch_max_messages=50)
    producers = Producers(house, fast_sessions)
    for _ in range(MESSAGES):
        producers.order(Wish())
    house.post(PostAnswer("each", ("taken", "unanswered"), really=True))
    house.clock.advance(seconds=10)

    house.hear(house.ask(), "the truth")

    house.ledger.check()
    assert len(house.ledger.of_state("submitted")) == MESSAGES
