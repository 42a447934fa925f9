"""A bar for what takes a while, on a terminal; nothing anywhere else."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

T = TypeVar("T")
EVERY = 500  # rows


class RowsPerSecond(ProgressColumn):
    """How fast it goes."""

    def render(self, task: Task) -> Text:
        """The rate of late."""
        return Text(f"{task.speed:,.0f} rows/s" if task.speed else "")


def watched(rows: Iterable[T], doing: str, *, total: int | None = None) -> Iterator[T]:
    """*rows* as they pass, and a bar on standard error if that is a terminal."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(doing),
        BarColumn(),
        MofNCompleteColumn(),
        RowsPerSecond(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(doing, total=total)
        for number, row in enumerate(rows, 1):
            if number % EVERY == 0:
                bar.update(task, completed=number)
            yield row
