"""The operator of a number is told by its range."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from worker.operators import operator_of

OF_RANGES = {
    "90": "Beeline",
    "91": "Beeline",
    "92": "Beeline",
    "20": "Beeline",
    "93": "Ucell",
    "94": "Ucell",
    "50": "Ucell",
    "97": "MobiUZ",
    "88": "MobiUZ",
    "87": "MobiUZ",
    "99": "Uzbektelecom",
    "95": "Uzbektelecom",
    "77": "Uzbektelecom",
    "33": "HUMANS",
    "98": "Perfectum",
}


@pytest.mark.parametrize(("mobile", "operator"), OF_RANGES.items(), ids=OF_RANGES)
def test_each_range_of_uzbekistan_has_its_operator(mobile: str, operator: str) -> None:
    assert operator_of(f"998{mobile}1234567") == operator


NOBODYS = {
    "998711234567": "a fixed line",
    "998797223456": "a range that is named, and not in use",
    "998210000000": "a range that nobody knows, beside one of Beeline",
    "99890": "the beginning of a number",
    "9989012345678": "a digit too many",
    "": "nothing",
    "0": "no code",
    "999123456789": "a code that nobody has",
}


@pytest.mark.parametrize("phone", NOBODYS, ids=NOBODYS.values())
def test_what_is_no_mobile_number_has_no_operator(phone: str) -> None:
    assert operator_of(phone) is None


def test_operators_abroad_are_known_too() -> None:
    assert (operator_of("77011234567"), operator_of("996700123456")) == ("Kcell/Activ", "Nur Telecom")


@given(some.text(max_size=20) | some.text("0123456789", max_size=16))
def test_anything_has_an_operator_or_none(phone: str) -> None:
    found = operator_of(phone)

    assert found is None or found
