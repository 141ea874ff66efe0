"""What is measured over HTTP, the same for every server. Figures have names, at whose end stands the unit."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence

from bench.client import Answer, complete
from bench.prompts import QUESTIONS, SYSTEM, Arrival, Prompts
from bench.report import percentile
from bench.servers import Server

DECODE_PROMPT = 32  # tokens
GOOD_FIRST_TOKEN_S = 1.0
GOOD_GAP_S = 0.2


async def decode(server: Server, prompts: Sequence[str], tokens: int) -> float:
    """Tokens a second in sum, from when all of `prompts` are being answered until the first answer ends."""
    answers = await _together(server, prompts, tokens)
    start = max(answer.times[0] for answer in answers)
    end = min(answer.times[-1] for answer in answers)
    return sum(answer.tokens_between(start, end) for answer in answers) / (end - start)


async def prefill(server: Server, prompt: str) -> float:
    """Tokens a second from a prompt nobody has seen to its first token."""
    answer = await complete(server.address, prompt, 1, server.extra)
    return answer.prompt_tokens / answer.first_token_s


async def conversation(server: Server, number: int, answer_tokens: int) -> list[float]:
    """Milliseconds to the first token in each turn of one conversation, which holds what the server itself said."""
    text, waits = f"Conversation {number}. {SYSTEM}\n", []
    for question in QUESTIONS:
        text += f"\nTraveller: {question}\nGuide:"
        answer = await complete(server.address, text, answer_tokens, server.extra)
        text += answer.text
        waits.append(answer.first_token_s * 1000)
    return waits


async def mixed_load(server: Server, arrivals: Sequence[Arrival], name: str) -> dict[str, float]:
    """How requests fare that come when they come, however many are there already."""
    start = asyncio.get_running_loop().time()

    async def one(arrival: Arrival) -> Answer:
        await asyncio.sleep(max(0.0, start + arrival.at - asyncio.get_running_loop().time()))
        return await complete(server.address, arrival.prompt, arrival.max_tokens, server.extra)

    answers = await asyncio.gather(*(one(arrival) for arrival in arrivals))
    waits = [answer.first_token_s * 1000 for answer in answers]
    gaps = [gap * 1000 for answer in answers for gap in answer.gaps]
    return {
        f"{name} first token p50, ms": statistics.median(waits),
        f"{name} first token p99, ms": percentile(waits, 99),
        f"{name} gap p50, ms": statistics.median(gaps),
        f"{name} gap p99, ms": percentile(gaps, 99),
        f"{name} goodput, %": 100 * statistics.mean(is_good(answer) for answer in answers),
    }


def is_good(answer: Answer) -> bool:
    """Whether nobody would complain: the first token within a second, then no long pauses."""
    return answer.first_token_s < GOOD_FIRST_TOKEN_S and percentile(answer.gaps or [0.0], 99) < GOOD_GAP_S


def decode_prompts(prompts: Prompts, count: int, first: int) -> list[str]:
    """`count` prompts for `decode`, none of them used before if `first` is new."""
    return [prompts.of_length(DECODE_PROMPT, first + number) for number in range(count)]


async def _together(server: Server, prompts: Sequence[str], tokens: int) -> list[Answer]:
    return await asyncio.gather(*(complete(server.address, prompt, tokens, server.extra) for prompt in prompts))
