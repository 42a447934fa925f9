"""The demo's progress and its result, for the person at the terminal."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import Engine

from models import Message
from models.lifecycle import Lane, MessageState
from worker.demo.tally import Tally, a_failed_message, batch_sizes_of, cost_of, refusals_of
from worker.embedded.home import Home


class Progressing(Protocol):
    """Shows how far the messages are."""

    def __call__(self, tally: Tally) -> None: ...


@contextmanager
def progress(console: Console) -> Iterator[Progressing]:
    """Bars on a terminal; elsewhere a line whenever something has changed."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description:9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        yield _bars(bars)


def _lines(console: Console) -> Progressing:
    shown: list[str] = []

    def show(tally: Tally) -> None:
        line = (
            f"of {tally.ordered:,} orders {tally.refused} refused, {tally.accepted} accepted; "
            f"{tally.posted} of them posted, {tally.final} final"
        )
        if line not in shown[-1:]:
            console.print(line)
            shown.append(line)

    return show


def _bars(bars: Progress) -> Progressing:
    stored, posted, final = (bars.add_task(name, total=None) for name in ("accepted", "posted", "final"))

    def show(tally: Tally) -> None:
        accepted = tally.ordered - tally.refused
        bars.update(stored, completed=tally.accepted, total=accepted)
        bars.update(posted, completed=tally.posted, total=accepted)
        bars.update(final, completed=tally.final, total=accepted)

    return show


def result(console: Console, engine: Engine, tally: Tally, *, seconds: float, price_per_part: float) -> None:
    """What became of the messages, in tables and a few sentences."""
    console.print(_states_table(tally), _refusals_table(engine), sep="\n")
    sizes, cost = batch_sizes_of(engine), cost_of(engine)
    mean = sum(sizes) / len(sizes) if sizes else 0
    console.print(
        f"{tally.accepted} messages in {len(sizes)} batches, {mean:.1f} on the average, in {seconds:.0f} s.\n"
        f"{cost.parts:,} parts: {cost.parts * price_per_part:,.0f} UZS at {price_per_part:,.0f} a part, "
        "a price made up for this demo."
    )
    if failed := a_failed_message(engine):
        console.print(f"\nOne that failed: {_story_of(failed)}")


def verdict(console: Console, complaints: Sequence[str], home: Home, *, logs: Path) -> None:
    """Whether the promises were kept, and where to look further."""
    for complaint in complaints:
        console.print(f"\nNOT GOOD: {complaint}.")
    if not complaints:
        console.print("\nBy the gateway's own journal every accepted message was posted exactly once; none was lost.")
    question = "SELECT lane, state, reason, count(*) FROM messages GROUP BY 1, 2, 3"
    lines = (
        f"\nLogs:     {logs}",
        f"Database: {home.database}",
        f'Ask it:   sqlite3 {shlex.quote(str(home.database))} "{question}"',
        f"\nTo look at them on the web page, and to send more, start the same house again:\n\n  {_up(home)}",
    )
    console.print(*lines, sep="\n", soft_wrap=True)


def _up(home: Home) -> str:
    return shlex.join([str(Path(sys.executable).with_name("sms")), "up", "--state", str(home.folder)])


def _states_table(tally: Tally) -> Table:
    states = [state for state in MessageState if tally.in_states(state)]
    table = Table("lane", title="Accepted messages", title_justify="left")
    for state in states:
        table.add_column(str(state), justify="right")
    for lane in Lane:
        table.add_row(str(lane), *(str(tally.states.get((lane, state), 0)) for state in states))
    return table


def _refusals_table(engine: Engine) -> Table:
    table = Table("reason", "what is wrong", title="Orders not accepted, and kept", title_justify="left")
    table.add_column("orders", justify="right")
    for reason, explanation, count in refusals_of(engine):
        table.add_row(reason, explanation, str(count))
    return table


def _story_of(message: Message) -> str:
    who = f"{message.key}, {message.lane}, to …{message.phone[-4:]}."
    if not message.request_id:
        return f"{who} The gateway refused it: {message.reason}."
    return (
        f"{who} The gateway took it as request_id {message.request_id}, message_id {message.message_id}; "
        f"after {message.polls} status question{'s' * (message.polls != 1)} its report was “{message.gateway_status}”: "
        "the phone never got it."
    )
