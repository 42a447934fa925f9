"""Numbered messages: the number is in the phone, in the text and in the key, so that each side can be counted by it.

Only the standard library: the producer, a stock Celery app, reads this as well.
"""

import re

PRODUCER = "chaos"
SECRET = "maxfiy"  # stands in every text, and so in no log line
BLOCK = 20  #: numbers that are ordered together: some one by one, the others in one `sms.send_many`
NEVER_REACHED = 10_000  # the sandbox reaches no phone that ends in 0000
PHONE = re.compile(r"99890([0-9]{7})")
TEXT = re.compile(rf"Kodingiz ([0-9]+), {SECRET}")
SHOP = {"task": "shop.sms_changed", "queue": "shop"}

OTP_ENDS, NORMAL_ENDS = 3, 11  # places in a block; the rest is for the bulk lane
TOLD_OF = (1, 5, 12)  # places whose producer wants to be told


def numbers(first: int, last: int) -> list[int]:
    """All numbers from *first* to *last* that stand for a message.

    >>> numbers(9999, 10002)
    [9999, 10001, 10002]
    """
    return [number for number in range(first, last + 1) if number % NEVER_REACHED]


def last_number(messages: int) -> int:
    """The number of the last one of so many messages.

    >>> [len(numbers(1, last_number(messages))) for messages in (9_999, 10_000, 100_000)]
    [9999, 10000, 100000]
    """
    return messages + (messages - 1) // (NEVER_REACHED - 1)


def phone_of(number: int) -> str:
    return f"99890{number:07d}"


def text_of(number: int) -> str:
    return f"Kodingiz {number}, {SECRET}"


def lane_of(number: int) -> str:
    place = number % BLOCK
    return "otp" if place < OTP_ENDS else "normal" if place < NORMAL_ENDS else "bulk"


def wants_to_be_told(number: int, *, every: int) -> bool:
    """Whether the message has a callback: some of every *every*-th block have."""
    return number % BLOCK in TOLD_OF and number // BLOCK % every == 0


def number_of(phone: str, text: str) -> int | None:
    """The number that both name; None where they do not agree.

    >>> number_of(phone_of(17), text_of(17)), number_of(phone_of(17), text_of(18))
    (17, None)
    """
    by_phone, by_text = PHONE.fullmatch(phone), TEXT.fullmatch(text)
    if by_phone and by_text and int(by_phone[1]) == int(by_text[1]):
        return int(by_phone[1])
    return None
