"""An SMS with the names of columns in it. Only names: no formats, no attributes, nothing that could be called."""

from collections.abc import Callable, Sequence
from string import Formatter

from worker.campaigns.rows import UnreadableFile, column, there_are
from worker.errors import OrderRefused

Fill = Callable[[Sequence[str]], str]


def template(written: str, header: Sequence[str], *, allow_empty: bool = False) -> Fill:
    """What fills *written* with the cells of a row; ``{{`` and ``}}`` stand for braces.

    Raises `UnreadableFile` for a name that is no column. What it returns raises `OrderRefused` for an empty cell.

    >>> template("Hurmatli {name}, {{}}", ["phone", "Name"])(["998901234567", " Ali "])
    'Hurmatli Ali, {}'
    """
    pieces = [(literal, _place(name, wanted, header)) for literal, name, *wanted in _parsed(written)]

    def fill(cells: Sequence[str]) -> str:
        return "".join(
            literal if place is None else literal + _cell(cells, place, header, allow_empty=allow_empty)
            for literal, place in pieces
        )

    return fill


def text_column(name: str, header: Sequence[str]) -> Fill:
    """The same where the whole text is in a column. Raises `UnreadableFile`."""
    place = column(header, name)
    return lambda cells: cells[place]


def _parsed(written: str) -> list[tuple[str, str | None, str | None, str | None]]:
    if not written.strip():
        raise UnreadableFile("--template is empty: write the SMS, with {name} where the column 'name' belongs.")
    try:
        return list(Formatter().parse(written))
    except ValueError:
        raise UnreadableFile("--template: a brace stands alone; write {{ and }} for braces of the SMS.") from None


def _place(name: str | None, wanted: Sequence[str | None], header: Sequence[str]) -> int | None:
    if name is None:
        return None
    if any(wanted):
        raise UnreadableFile(
            f"--template: {{{name}}} has more in it than a column's name; formats and conversions are not known here. "
            f"{there_are(header)}"
        )
    if not name.strip():
        raise UnreadableFile(f"--template: {{}} names no column. {there_are(header)}")
    return column(header, name)


def _cell(cells: Sequence[str], place: int, header: Sequence[str], *, allow_empty: bool) -> str:
    cell = cells[place].strip()
    if not cell and not allow_empty:
        raise OrderRefused("value_missing", f"The column {header[place]!r} is empty; --allow-empty lets it be.")
    return cell
