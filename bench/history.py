"""What the history costs with many conversations in it: writing, listing, loading, searching.

    python -m bench.history [--conversations 10000] [--messages 20] [--rounds 100] [--url URL] [--keep FOLDER]

Words are drawn as they are in a language: a few are everywhere, most are rare. Without `--url`, a SQLite file is made.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from bench.report import percentile
from server.history.records import LOCAL, About, Change, MessageRecord, Piece, RunRecord
from server.history.store import History
from server.protocol import SnapshotMessage

AT_ONCE = 200  # conversations a batch
VOCABULARY = 30_000
SYLLABLES = ("ta", "ri", "mo", "ken", "su", "la", "vor", "ni", "pe", "cho", "da", "wen", "fi", "gor", "ble", "sta")


class Author:
    """Draws conversations, the same ones every time."""

    def __init__(self) -> None:
        self._random = random.Random(4)
        self.words = sorted({self._word() for _ in range(2 * VOCABULARY)}, key=lambda word: (len(word), word))[
            :VOCABULARY
        ]
        self._weights = list(accumulate(1 / rank for rank in range(1, len(self.words) + 1)))

    def _word(self) -> str:
        return "".join(self._random.choices(SYLLABLES, k=self._random.randint(1, 5)))

    def text(self, words: int) -> str:
        return " ".join(self._random.choices(self.words, cum_weights=self._weights, k=words)).capitalize() + "."

    def conversation(self, number: int, messages: int) -> Change:
        about = About(f"{number:032x}", LOCAL, self.text(5), False, number % 500 == 0, 1e9 + number, 1e9 + number)
        return Change(about, head=messages, messages=[self._message(position) for position in range(messages)])

    def _message(self, position: int) -> MessageRecord:
        asked = position % 2 == 0
        return MessageRecord(
            position,
            SnapshotMessage(
                id=f"{position:032x}",
                parent_id=f"{position - 1:032x}" if position else None,
                role="user" if asked else "ai",
                message=self.text(self._random.randint(5, 20) if asked else self._random.randint(30, 120)),
                finish_reason=None if asked else "stop",
                model=None if asked else "echo/echo",
                at=1e9 + position,
            ),
        )


async def measure(rounds: int, name: str, work: Callable[[int], Awaitable[object]]) -> None:
    """Do `work` again and again, and print how long it took, and how much of this process's CPU time."""
    await work(0)
    took, cpu = [], time.process_time()
    for number in range(1, rounds + 1):
        started = time.perf_counter()
        await work(number)
        took.append((time.perf_counter() - started) * 1e3)
    cpu = (time.process_time() - cpu) / rounds * 1e3
    print(f"{name:<44}{percentile(took, 50):>10.2f}{percentile(took, 99):>10.2f}{cpu:>10.2f}", flush=True)


async def fill(history: History, author: Author, conversations: int, messages: int) -> None:
    """Write as many conversations as are wanted."""
    started = time.perf_counter()
    for first in range(0, conversations, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, conversations))
        await history.write([author.conversation(number, messages) for number in numbers])
    took = time.perf_counter() - started
    print(
        f"{conversations * messages / took:,.0f} messages a second were written, {took:.0f} s in all, drawing included."
    )


async def measure_reading(history: History, author: Author, conversations: int, rounds: int) -> None:
    """The list's pages, whole conversations, and questions of every kind."""
    middle = (await history.list(LOCAL, limit=conversations // 2)).next
    await measure(rounds, "list: the first page of 50", lambda _: history.list(LOCAL))
    await measure(rounds, "list: a page from the middle", lambda _: history.list(LOCAL, before=middle))
    await measure(rounds, "load: one conversation", lambda n: history.load(LOCAL, f"{n * 7919 % conversations:032x}"))
    common, some, rare = author.words[0], author.words[300], author.words[20_000]
    questions: Sequence[tuple[str, str]] = (
        ("a letter", common[0]),
        ("a word that is everywhere", common),
        ("the beginning of many words", "ken"),
        ("a word of some messages", some),
        ("a rare word", rare),
        ("three words", f"{common} {author.words[1]} {some}"),
        ("a word that is nowhere", "xylophone"),
    )
    for name, question in questions:
        await measure(rounds, f"search: {name}", lambda _, question=question: history.search(LOCAL, question))  # type: ignore[misc]


async def measure_writing(history: History, author: Author, rounds: int) -> None:
    """What a flush writes: a piece of one answer, and a batch of 50 conversations."""
    running = author.conversation(1, 4)
    running = replace(running, run=RunRecord("answer", {"model": "echo/echo"}), messages=())
    piece = Piece("content", "a piece of an answer", tuple(range(10)))
    await measure(
        rounds,
        "write: a piece of one answer",
        lambda n: history.write([replace(running, first_piece=n, pieces=[piece])]),
    )
    batches = [[author.conversation(10**9 + 50 * n + of, 4) for of in range(50)] for n in range(rounds // 5 + 1)]
    await measure(rounds // 5, "write: 50 new conversations of 4 messages", lambda n: history.write(batches[n]))
    await measure(rounds // 5, "write: the same once more", lambda n: history.write(batches[n]))


async def run(arguments: argparse.Namespace, folder: Path) -> None:
    """Fill the history, unless it was kept from the last time, and measure."""
    url, author = arguments.url or "sqlite:///history.db", Author()
    history = await History.open(url, folder)
    try:
        if not (await history.list(LOCAL, limit=1)).items:
            await fill(history, author, arguments.conversations, arguments.messages)
        await history.close()
        started = time.perf_counter()
        history = await History.open(url, folder)
        print(f"Opening it again took {(time.perf_counter() - started) * 1e3:.0f} ms.")
        if (file := folder / "history.db").exists():
            print(f"The file has {file.stat().st_size / 2**20:.0f} MiB.")
        print(f"{'':<44}{'p50 ms':>10}{'p99 ms':>10}{'CPU ms':>10}")
        await measure_reading(history, author, arguments.conversations, arguments.rounds)
        await measure_writing(history, author, arguments.rounds)
    finally:
        await history.close()


def main() -> None:
    """Parse, fill, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=20, help="of each conversation")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--url", help="an empty database to fill; DATABASE_URL's form")
    parser.add_argument("--keep", type=Path, help="a folder for the SQLite file, to be used again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(arguments, arguments.keep or Path(folder)))


if __name__ == "__main__":
    main()
