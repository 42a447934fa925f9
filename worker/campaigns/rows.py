"""A file's rows as both kinds of files give them, and which of its columns a person means."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from worker.errors import OrderRefused, SmsError
from worker.phone import normalised
from worker.storable import storable

MOST_NAMED = 20  # columns in one line


class UnreadableFile(SmsError):
    """The file cannot be read as it was described; the message is the one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line it begins at, as an editor or Excel counts, and its cells, as many as the header has."""

    line: int
    cells: Sequence[str] = field(default=(), repr=False)
    wrong: str | None = None  #: why it has no cells that could be trusted


class Rows(Protocol):
    """What a file gives, as often as it is asked to."""

    @property
    def header(self) -> Sequence[str]:
        """The names of the columns, without the blanks around them."""

    def __iter__(self) -> Iterator[Row]:
        """The rows behind the header, but for empty ones. Raises `UnreadableFile`."""


def header_of(cells: Sequence[str]) -> tuple[str, ...]:
    """The names in the first row. Raises `UnreadableFile` where that is a row like all others."""
    names = tuple(cell.strip() for cell in cells)
    if any(_is_phone(name) for name in names):
        raise UnreadableFile("It has no header: its first line holds a phone, where the names of the columns belong.")
    return names


def column(header: Sequence[str], name: str) -> int:
    """The place of the column *name*, however its letters are capitalised.

    Raises `UnreadableFile` if there is none, or more than one.

    >>> column(["Name", "Phone"], " phone")
    1
    """
    wanted = name.strip().casefold()
    places = [place for place, one in enumerate(header) if one.casefold() == wanted]
    if len(places) == 1:
        return places[0]
    if places:
        raise UnreadableFile(
            f"The column {name.strip()!r} stands {len(places)} times in the header: rename the others."
        )
    near = difflib.get_close_matches(wanted, [one.casefold() for one in header if one], n=1)
    meant = next((one for one in header if near and one.casefold() == near[0]), None)
    hint = f" Did you mean {meant!r}?" if meant else ""
    raise UnreadableFile(f"There is no column {storable(name.strip())!r}.{hint} {there_are(header)}")


def there_are(header: Sequence[str]) -> str:
    """A sentence that names the columns."""
    names = [name for name in header if name]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"The columns are: {', '.join(map(repr, names[:MOST_NAMED]))}{more}."


def _is_phone(name: str) -> bool:
    try:
        return bool(normalised(name))
    except OrderRefused:
        return False
