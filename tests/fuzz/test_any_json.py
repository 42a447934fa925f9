"""JSON is read as the standard library reads it, whatever it is: orjson is faster, and knows less."""

import json
from collections.abc import Callable
from typing import Any

from anything import JSON, WORDS, more, written
from hypothesis import example, given
from hypothesis import strategies as some

from worker.storable import DEEP, parsed

ENDS = [2**53, 2**63, 2**64, 10**18, 10**19, 10**309]  # where one or another kind of number ends
BESIDE_THEM = [sign * end + more for end in ENDS for sign in (1, -1) for more in (-1, 0, 1)]
NUMBERS = some.one_of(
    some.sampled_from(["-0", "-0.0", "1e999", "-1E+400", "1e-999", "NaN", "Infinity", "-Infinity", "01", "1.", "+1"]),
    some.sampled_from([*map(str, BESIDE_THEM), "9" * 4_400]),
    some.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
)
STRINGS = some.one_of(
    WORDS.map(json.dumps),
    WORDS.map(lambda word: json.dumps(word, ensure_ascii=False)),
    some.sampled_from([r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d\ude00"', r'"\u0000"', r'"\x"', '"\t"', '"\x7f"', '"']),
    some.sampled_from(['"},{"', '"}, {"', '"[[[["', f'"{"1" * 40}"']),
)
SPACE = some.sampled_from(["", " ", "\n", "\t ", "\x0b", "\u00a0"])
LEAVES = NUMBERS | STRINGS | some.sampled_from(["null", "true", "false", "nul", "", "undefined"])
TEXTS = some.recursive(
    LEAVES,
    lambda inner: some.one_of(
        some.builds(lambda parts, space: f"[{f',{space}'.join(parts)}]", some.lists(inner, max_size=3), SPACE),
        some.lists(some.tuples(some.sampled_from(['"a"', '"b"']), inner), max_size=3).map(  # the same key twice, too
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=6,
)
CODECS = some.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
RAWS = some.one_of(
    some.builds(lambda text, codec: text.encode(codec, "surrogatepass"), TEXTS, CODECS),
    JSON.map(written),
    some.binary(max_size=20),
)
#: Around what the standard library takes, how deep it is depends on who asks: these are well on either side.
DEPTHS = some.integers(1, DEEP + 20) | some.integers(1_100, 3_000)
OPENINGS = some.sampled_from([("[", "]"), ('{"a":', "}"), ('[{"a": 1}, {"b": [', "]}]"), ('[{"a":1},{"b":', "}]")])
SIDE_BY_SIDE = some.sampled_from([b'{"a": [1]}, ', b"{},", b'"}, {", ', b"[], "])


def read_by(read: Callable[[bytes], Any], raw: bytes) -> str:
    """What *read* makes of it, kinds of numbers included; a word if it refuses."""
    try:
        return repr(read(raw))
    except (ValueError, RecursionError):
        return "refused"


@more(by=10)
@given(raw=RAWS)
def test_json_is_read_as_by_the_standard_library(raw: bytes) -> None:
    assert read_by(parsed, raw) == read_by(json.loads, raw)


@more(by=5)
@given(text=TEXTS)
def test_json_that_is_text_already_is_read_as_by_the_standard_library(text: str) -> None:
    assert read_by(lambda _: parsed(text), b"") == read_by(lambda _: json.loads(text), b"")


@given(depth=DEPTHS, opening=OPENINGS, beside=SIDE_BY_SIDE, times=some.integers(0, 2_000))
@example(depth=DEEP + 1, opening=("[", "]"), beside=b"{},", times=2_000)
def test_json_of_many_levels_is_read_or_refused_as_by_the_standard_library(
    depth: int, opening: tuple[str, str], beside: bytes, times: int
) -> None:
    nested = (opening[0] * depth + opening[1] * depth).encode()
    raw = b"[" + beside * times + nested + b"]"

    found, expected = read_by(parsed, raw), read_by(json.loads, raw)

    assert found == expected
