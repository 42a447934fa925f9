"""What the sandbox took: one line for each message, written before the answer leaves."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Taken:
    """One message that the sandbox took."""

    at: datetime
    request: int  #: the request's number since the journal began
    request_id: int
    message_id: int
    phone: str
    text: str
    nickname: str | None
    parts: int

    def as_json(self) -> dict[str, Any]:
        """The same with an ISO 8601 instant; request_id and message_id stay numbers."""
        # Not asdict: its deep copies take two thirds of the sandbox's time.
        return {name: getattr(self, name) for name in self.__slots__} | {"at": self.at.isoformat()}


class Journal:
    """Append-only, in memory and, if *file* is given, in a file of JSON lines that a restart reads again."""

    def __init__(self, file: Path | None = None) -> None:
        self.taken: list[Taken] = []
        self.requests = 0
        self.batch_sizes: Counter[int] = Counter()
        self._by_request_id: defaultdict[int, list[Taken]] = defaultdict(list)
        self._file = file
        if file and file.exists():
            self._load(file)
        self._lines = file.open("a", encoding="utf-8") if file else None

    def append(self, messages: Sequence[Taken]) -> None:
        """Keep one request's messages; they are with the operating system when this returns."""
        self._remember(messages)
        if self._lines and messages:
            self._lines.write("".join(json.dumps(taken.as_json()) + "\n" for taken in messages))
            self._lines.flush()

    def of_request_id(self, request_id: int) -> Sequence[Taken]:
        """All messages under one request_id, of however many requests."""
        return self._by_request_id.get(request_id, ())

    def ids(self) -> set[int]:
        """Every request_id and message_id that was given."""
        return set(self._by_request_id) | {taken.message_id for taken in self.taken}

    def stats(self) -> dict[str, Any]:
        """Counts; a phone (or a phone with the same text) counts as repeated once however often it came."""
        phones = Counter(taken.phone for taken in self.taken)
        pairs = Counter((taken.phone, taken.text) for taken in self.taken)
        return {
            "requests_taken": self.requests,
            "messages_taken": len(self.taken),
            "batch_sizes": {str(size): self.batch_sizes[size] for size in sorted(self.batch_sizes)},
            "phones": len(phones),
            "phones_repeated": sum(times > 1 for times in phones.values()),
            "messages_repeated": sum(times > 1 for times in pairs.values()),
        }

    def close(self) -> None:
        """Close the file."""
        if self._lines:
            self._lines.close()

    def _remember(self, messages: Sequence[Taken]) -> None:
        if not messages:
            return
        self.requests = messages[0].request
        self.batch_sizes[len(messages)] += 1
        self.taken.extend(messages)
        for taken in messages:
            self._by_request_id[taken.request_id].append(taken)

    def _load(self, file: Path) -> None:
        lines = file.read_text(encoding="utf-8")
        if lines and not lines.endswith("\n"):
            # A kill in the middle of a write: what is torn was never answered for, and must not tear the next line.
            lines = lines[: lines.rfind("\n") + 1]
            file.write_text(lines, encoding="utf-8")
        requests: dict[int, list[Taken]] = {}
        for taken in _read(lines.splitlines()):
            requests.setdefault(taken.request, []).append(taken)
        for messages in requests.values():
            self._remember(messages)


def _read(lines: Iterable[str]) -> Iterable[Taken]:
    for line in lines:
        fields = json.loads(line)
        yield Taken(**fields | {"at": datetime.fromisoformat(fields["at"])})
