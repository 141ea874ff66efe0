"""What people feel when many chat at once: `python -m bench.chat_load`, about two minutes.

Two scenes on the real server with the embedded model, each with clients that speak as the page does:

    together   so many chats ask different questions in the same moment. Every answer must be whole, and equal to the
               answer to the same question asked alone afterwards.
    reading    while some chats stream, one sends a message of thousands of tokens. How long does a stream pause?

Prints a table, with `--json FILE` also writes it there, and exits with 1 when an answer is not what it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from typing import Any

from bench.chatting import Answer, Chat, chat
from bench.watched_server import Reading, WatchedServer, watched_server

QUESTIONS = (
    "Why is the sky blue?",
    "How do bees make honey?",
    "What is a prime number?",
    "Tell me about the moon.",
    "How is bread made?",
    "Explain what a river is.",
    "What do plants need?",
    "Why do we sleep?",
    "How does a bicycle stay upright?",
    "What is glass?",
    "Describe a small town.",
    "What is a poem?",
    "How do birds fly?",
    "What makes a good friend?",
    "Why is the sea salty?",
    "What is time?",
)
WORDS = ("sun", "sea", "cat", "dog", "red", "old", "man", "car", "bed", "box", "hat", "sky", "ice", "oil", "tea", "war")
LOOP_PROMISE_MS = 50.0
QUIET_S = 3.0


def main() -> int:
    """Run both scenes, print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=16, help="how many ask together")
    parser.add_argument("--tokens", type=int, default=64, help="longest answer")
    parser.add_argument("--streams", type=int, default=8, help="how many stream while the long message is read")
    parser.add_argument("--words", type=int, default=5900, help="of the long message; each is about a token")
    parser.add_argument("--flush-ms", type=int, default=40, help="the server's STREAM_FLUSH_MS; 0: a frame a token")
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    options = parser.parse_args()
    with watched_server({"STREAM_FLUSH_MS": str(options.flush_ms), "MAX_BATCH_SIZE": str(options.chats)}) as server:
        figures = asyncio.run(measure(server, options))
    print_table(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["together"]["whole"] == figures["together"]["equal"] == options.chats else 1


async def measure(server: WatchedServer, options: argparse.Namespace) -> dict[str, Any]:
    """Both scenes, after a first answer that warms everything up."""
    computing = await asyncio.to_thread(server.wait_compiled)
    async with chat(server.socket) as warm:
        await warm.ask("Hello", 8)
    return {
        "settings": {name: value for name, value in vars(options).items() if name != "json"},
        "computing": computing,
        "together": await together(server, options.chats, options.tokens),
        "reading": await reading(server, options.streams, options.words),
    }


# Everybody asks at once


async def together(server: WatchedServer, chats: int, tokens: int) -> dict[str, Any]:
    """All ask in the same moment; then each question is asked alone."""
    questions = [f"{QUESTIONS[at % len(QUESTIONS)]}{' Once more.' * (at // len(QUESTIONS))}" for at in range(chats)]
    async with AsyncExitStack() as stack:
        open_chats = [await stack.enter_async_context(chat(server.socket)) for _ in questions]
        server.reading()
        began = time.perf_counter()
        asked = [one.ask(question, tokens) for one, question in zip(open_chats, questions, strict=True)]
        answers = await asyncio.gather(*asked)
        took = time.perf_counter() - began
        watched = server.reading()
    alone = []
    for question in questions:
        async with chat(server.socket) as one:
            alone.append(await one.ask(question, tokens))
    pauses = [pause for answer in answers for pause in answer.pauses()]
    tokens_in_sum = sum(answer.tokens for answer in answers)
    return {
        "chats": chats,
        "whole": sum(answer.whole for answer in answers),
        "equal": sum(one.text == other.text for one, other in zip(answers, alone, strict=True)),
        "tokens_per_second": tokens_in_sum / took,
        "loop_us_a_token": watched.loop_cpu_s / tokens_in_sum * 1e6,
        "first_piece_ms": spread(answer.first_ms for answer in answers),
        "token_ms": spread(answer.token_ms for answer in answers),
        "pause_ms": spread(pauses),
        "alone_first_piece_ms": spread(answer.first_ms for answer in alone),
        "alone_token_ms": spread(answer.token_ms for answer in alone),
        "loop": loop_figures(watched),
    }


# A long message while others stream


async def reading(server: WatchedServer, streams: int, words: int) -> dict[str, Any]:
    """Some chats stream without end; after a while one more sends a long message."""
    answers: list[Answer] = []
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        reader, *writers = [await stack.enter_async_context(chat(server.socket)) for _ in range(streams + 1)]
        answers += [Answer(0.0) for _ in writers]
        asking = [_stream(one, QUESTIONS[at:] + QUESTIONS[:at], answers, answers[at]) for at, one in enumerate(writers)]
        streaming = [group.create_task(endless) for endless in asking]
        await asyncio.gather(*(first.flows.wait() for first in answers[:streams]))
        quiet_from = time.perf_counter()
        await asyncio.sleep(QUIET_S)
        server.reading()
        sent = time.perf_counter()
        long = await reader.ask(long_message(words), 4)
        watched = server.reading()
        for task in streaming:
            task.cancel()
    return {
        "streams": streams,
        "prompt_tokens": long.prompt_tokens,
        "first_piece_ms": long.first_ms,
        "prompt_tokens_per_second": long.prompt_tokens / (long.first_ms / 1000),
        "without": spread(pause for answer in answers for pause in answer.pauses(quiet_from, sent)),
        "with": spread(pause for answer in answers for pause in answer.pauses(sent, long.first)),
        "loop": loop_figures(watched),
    }


async def _stream(one: Chat, questions: Sequence[str], answers: list[Answer], answer: Answer) -> None:
    """Ask and read, again and again: first into `answer`, then into more of the `answers`."""
    for question in cycle(questions):
        await one.ask(f"{question} Tell me everything, at length.", 256, answer)
        answers.append(answer := Answer(0.0))


def long_message(words: int) -> str:
    """A text that says nothing, for which nothing that was read before is of use, and a question."""
    drawn = random.Random(words)
    return " ".join(drawn.choice(WORDS) for _ in range(words)) + "\n\nTell me what you think of this list of words."


# Figures


def spread(values: Iterable[float]) -> dict[str, float]:
    """The middle, the 99th percentile, and the most."""
    ordered = sorted(values) or [float("nan")]
    return {"p50": statistics.median(ordered), "p99": ordered[round(0.99 * (len(ordered) - 1))], "max": ordered[-1]}


def loop_figures(seen: Reading) -> dict[str, float]:
    """What the watch saw, and how much of a core the loop took."""
    return {**asdict(seen), "loop_share": seen.loop_cpu_s / seen.wall_s}


def print_table(figures: dict[str, Any]) -> None:
    """For people."""
    all_at_once, long = figures["together"], figures["reading"]
    chats = all_at_once["chats"]
    print(f"the model computes with {figures['computing']}\n")
    print(f"{chats} chats at once: {all_at_once['whole']} whole, {all_at_once['equal']} equal to the answer alone")
    print(f"{all_at_once['tokens_per_second']:.0f} tokens/s in sum", end="")
    print(f", {all_at_once['loop_us_a_token']:.0f} µs of the event loop a token, its watch included\n")
    print(f"{'milliseconds':44}{'p50':>9}{'p99':>9}{'most':>9}")
    for label, key in (
        ("until the first piece of an answer", "first_piece_ms"),
        ("  the same, alone", "alone_first_piece_ms"),
        ("a token, on average over an answer", "token_ms"),
        ("  the same, alone", "alone_token_ms"),
        ("between two pieces", "pause_ms"),
    ):
        print_row(label, all_at_once[key])
    print_loop(all_at_once["loop"])
    print(f"\na message of {long['prompt_tokens']:,} tokens while {long['streams']} answers stream:")
    print(
        f"{long['prompt_tokens_per_second']:.0f} tokens/s read, first piece after {long['first_piece_ms'] / 1000:.1f} s"
    )
    print_row("between two pieces of a stream, before", long["without"])
    print_row("  while the message is read", long["with"])
    print_loop(long["loop"])


def print_row(label: str, spread: dict[str, float]) -> None:
    """One line of the table."""
    print(f"{label:44}{spread['p50']:9.1f}{spread['p99']:9.1f}{spread['max']:9.1f}")


def print_loop(loop: dict[str, float]) -> None:
    """How late the event loop was, and whether that is what was promised."""
    kept = "kept" if loop["longest_late_ms"] <= LOOP_PROMISE_MS else "NOT kept"
    print(f"{'event loop late (own work, collector)':44}", end="")
    print(f"{'':9}{loop['late_p99_ms']:9.1f}{loop['longest_late_ms']:9.1f}", end="")
    print(f"  ({loop['longest_own_ms']:.1f}, {loop['longest_gc_ms']:.1f}): {LOOP_PROMISE_MS:.0f} ms {kept};", end="")
    print(f" the loop took {loop['loop_share']:.0%} of a core")


if __name__ == "__main__":
    sys.exit(main())
