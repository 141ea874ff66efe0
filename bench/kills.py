"""Kills the server while it answers, and looks whether anybody can tell afterwards.

`python -m bench.kills [N]` kills it N times (100). Each question is asked once undisturbed. Then two clients attend a
conversation, one asks, and the server is killed at a random moment and started again, until the answer has ended: it
must be the undisturbed one to the character, for both clients and in the store.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.kill_tally import Tally, Undisturbed, show
from bench.mortal import MortalServer
from bench.processes import build_kernels, say
from bench.returning import Lost, ReturningClient
from bench.servers import ROOT
from server.node import Node

MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
MOMENTS = (
    *("streaming", "streaming", "acknowledged", "streaming", "streaming", "reading"),
    *("streaming", "queued", "streaming", "streaming", "ending", "streaming", "said"),
)
MOST_KILLS = 3  # in one answer


@dataclass(slots=True, frozen=True)
class Question:
    """What is asked, and how the answer is sampled."""

    message: str
    params: dict[str, object]


class Killing:
    """Asks and kills, `kills` times at least."""

    def __init__(self, server: MortalServer, questions: Sequence[Question], seed: int) -> None:
        self.tally = Tally()
        self._server = server
        self._questions = questions
        self._random = random.Random(seed)
        self._known: dict[str, Undisturbed] = {}
        self._ended: dict[str, list[object]] = {}  # the messages of each conversation, when it was over

    async def run(self, kills: int) -> Tally:
        """Raises Lost when a conversation or a part of its log is gone."""
        self._server.start()
        await self._server.ready()
        for question in self._questions:
            await self._learn(question)
        for moment, question in zip(itertools.cycle(MOMENTS), itertools.cycle(self._questions), strict=False):
            left = kills - self.tally.kills.total()
            if left <= 0:
                break
            await self._round(moment, question, left)
            say(f"{self.tally.kills.total()} of {kills} kills, {len(self.tally.differences)} differences")
        await self._read_all_again()
        return self.tally

    async def _learn(self, question: Question) -> None:
        async with ReturningClient(self._server.port).staying() as client:
            cmd_id = await client.say(question.message, question.params)
            await client.until(lambda: _ended(client, cmd_id))
            answer = _answer(client, cmd_id)
            assert answer is not None
            assert answer.usage is not None, f"The undisturbed answer failed: {answer.error}"
            self._known[question.message] = Undisturbed(
                str(answer.content), answer.usage.completion_tokens, str(answer.finish_reason)
            )

    async def _round(self, moment: str, question: Question, most_kills: int) -> None:
        async with AsyncExitStack() as stack:
            asking = await stack.enter_async_context(ReturningClient(self._server.port).staying())
            joining = ReturningClient(self._server.port, asking.session)
            watching = await stack.enter_async_context(joining.staying())
            asked = {await asking.say(question.message, question.params): question}
            if moment == "queued":
                await asking.until(lambda: bool(_text(asking, *asked)))
                behind = self._random.choice(self._questions)
                asked[await asking.say(behind.message, behind.params)] = behind
            kills = 0
            while kills < min(MOST_KILLS if moment == "streaming" else 1, most_kills):
                *_, last = asked
                if not await self._wait_for(moment, asking, last, self._known[question.message]):
                    break
                kills += 1
                await self._kill(moment, asking, last)
            for client in (asking, watching):
                await _until_ended(client, asked)
            self._compare(asking, watching, asked, kills)

    async def _wait_for(self, moment: str, client: ReturningClient, cmd_id: str, whole: Undisturbed) -> bool:
        """Wait for the moment. False when it is over already."""
        shown = len(_text(client, cmd_id))
        length = {
            "streaming": self._random.randint(shown, max(shown, len(whole.text))),
            "ending": max(0, len(whole.text) - self._random.randint(0, 12)),
        }
        match moment:
            case "said":
                pass
            case "acknowledged" | "queued":
                await client.until(lambda: client.acknowledged(cmd_id))
            case "reading":
                await client.until(lambda: _asked(client, cmd_id) is not None)
            case _:
                await client.until(lambda: len(_text(client, cmd_id)) >= length[moment] or _ended(client, cmd_id))
        return moment == "ending" or not _ended(client, cmd_id)

    async def _kill(self, moment: str, client: ReturningClient, cmd_id: str) -> None:
        shown, began = len(_text(client, cmd_id)), time.perf_counter()
        self._server.kill()
        self.tally.kills[moment] += 1
        self._server.start()
        before = client.comebacks
        await client.until(lambda: client.comebacks > before)
        await client.until(lambda: len(_text(client, cmd_id)) > shown or _ended(client, cmd_id))
        self.tally.back_s.append(time.perf_counter() - began)

    def _compare(
        self, asking: ReturningClient, watching: ReturningClient, asked: dict[str, Question], kills: int
    ) -> None:
        before = len(self.tally.differences)
        if asking.messages != watching.messages:
            self.tally.differences.append(f"{asking.session}: the two clients do not show the same.")
        if len(asking.messages) != 2 * len(asked):
            self.tally.differences.append(f"{asking.session}: there are {len(asking.messages)} messages.")
        for cmd_id, question in asked.items():
            answer, whole = _answer(asking, cmd_id), self._known[question.message]
            assert answer is not None
            self.tally.compare(str(answer.content), whole.text)
            tokens = answer.usage.completion_tokens if answer.usage else 0
            ended = Undisturbed(str(answer.content), tokens, str(answer.finish_reason))
            if ended != whole:
                self.tally.differences.append(f"{asking.session}: {ended} instead of {whole} {answer.error or ''}")
        self.tally.continued += kills if len(self.tally.differences) == before else 0
        self._ended[asking.session] = [message.model_dump() for message in asking.messages]

    async def _read_all_again(self) -> None:
        """Hold what the store has against what the clients saw, in another life of the server."""
        self._server.kill()
        self._server.start()
        await self._server.ready()
        for session, messages in self._ended.items():
            async with ReturningClient(self._server.port, session).staying() as client:
                await _until_whole(client, len(messages))
                if [message.model_dump() for message in client.messages] != messages:
                    self.tally.differences.append(f"{session}: the store has something else.")


async def _until_ended(client: ReturningClient, asked: Iterable[str]) -> None:
    await client.until(lambda: all(_ended(client, cmd_id) for cmd_id in asked))


async def _until_whole(client: ReturningClient, messages: int) -> None:
    await client.until(lambda: len(client.state.nodes) >= messages)


def _answer(client: ReturningClient, cmd_id: str) -> Node | None:
    """The answer to what that command said, as far as the client knows of it."""
    asked = _asked(client, cmd_id)
    return next((node for node in client.state.nodes.values() if asked is not None and node.parent_id == asked), None)


def _asked(client: ReturningClient, cmd_id: str) -> str | None:
    """The id of the message that the command said."""
    said = (node.id for node in client.state.nodes.values() if node.role == "user" and node.cmd_id == cmd_id)
    return next(said, None)


def _text(client: ReturningClient, cmd_id: str) -> str:
    answer = _answer(client, cmd_id)
    return str(answer.content) if answer is not None else ""


def _ended(client: ReturningClient, cmd_id: str) -> bool:
    answer = _answer(client, cmd_id)
    return answer is not None and not answer.running


def questions(max_tokens: int) -> list[Question]:
    """Asked by turns: the likeliest answer, and one that chance decides."""
    greedy: dict[str, object] = {"temperature": 0, "max_tokens": max_tokens}
    topics = ("a lighthouse keeper", "how bread is made", "the rivers of Europe", "a robot that learns to paint")
    return [
        Question(
            f"Write a long text about {topic}.",
            greedy if number % 2 == 0 else {"temperature": 0.8, "seed": 1000 + number, "max_tokens": max_tokens + 50},
        )
        for number, topic in enumerate(topics)
    ]


def main() -> int:
    """The exit status is 1 when anybody can tell that the server was killed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kills", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    build_kernels()
    with tempfile.TemporaryDirectory() as folder:
        server = MortalServer(MODEL, Path(folder))
        try:
            tally = asyncio.run(Killing(server, questions(150), chosen.seed).run(chosen.kills))
        except (Lost, TimeoutError):
            say(server.log[-4000:])
            raise
        finally:
            server.kill()
    show(tally)
    return 0 if tally.clean else 1


if __name__ == "__main__":
    sys.exit(main())
