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
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench.kill_tally import Known, Question, Script, Tally, Undisturbed, questions, show
from bench.mortal import MortalServer
from bench.processes import build_kernels, say
from bench.returning import Lost, ReturningClient
from bench.servers import ROOT

MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
MOMENTS = (
    *("streaming", "streaming", "acknowledged", "streaming", "streaming", "reading"),
    *("streaming", "queued", "streaming", "continuing", "ending", "streaming", "said", "continuing"),
)
GROWING = ("streaming", "continuing")  # may come several times in one answer
MOST_KILLS = 3  # in one answer


class Killing:
    """Asks and kills. A script is two questions of one conversation; most moments need the first alone."""

    def __init__(self, server: MortalServer, questions: Sequence[Question], seed: int) -> None:
        self.tally = Tally()
        self._server = server
        self._scripts = list(zip(questions, [*questions[1:], questions[0]], strict=True))
        self._random = random.Random(seed)
        self._known: dict[Script, Known] = {}
        self._ended: dict[str, list[dict[str, object]]] = {}  # the messages of each conversation, when it was over

    async def run(self, kills: int) -> Tally:
        """Kill the server so many times. Raises Lost when a conversation or a part of its log is gone."""
        self._server.start()
        await self._server.ready()
        for script in self._scripts:
            await self._learn(script)
        for moment, script in zip(itertools.cycle(MOMENTS), itertools.cycle(self._scripts), strict=False):
            left = kills - self.tally.kills.total()
            if left <= 0:
                break
            await self._round(moment, script, left)
            say(f"{self.tally.kills.total()} of {kills} kills, {len(self.tally.differences)} differences")
        await self._read_all_again()
        return self.tally

    async def _learn(self, script: Script) -> None:
        first, second = script
        async with ReturningClient(self._server.port).staying() as client:
            asked = await client.say(first.message, first.params)
            await client.until(lambda: client.ended(asked))
            after = await client.say(second.message, second.params)
            await client.until(lambda: client.ended(asked, after))
            endings = (_ending(client, asked), _ending(client, after))
        async with ReturningClient(self._server.port).staying() as client:
            asked = await client.say(first.message, first.params)
            await _continue(client, asked)
            await client.until(lambda: client.ended(asked))
            self._known[script] = Known(*endings, _ending(client, asked))

    async def _round(self, moment: str, script: Script, most_kills: int) -> None:
        known = self._known[script]
        async with AsyncExitStack() as stack:
            asking = await stack.enter_async_context(ReturningClient(self._server.port).staying())
            joining = ReturningClient(self._server.port, asking.session)
            watching = await stack.enter_async_context(joining.staying())
            asked = await self._ask(asking, moment, script)
            wanted = [known.continued] if moment == "continuing" else [known.first, known.second][: len(asked)]
            kills = 0
            for _ in range(min(MOST_KILLS if moment in GROWING else 1, most_kills)):
                await self._wait_for(moment, asking, asked[-1], len(wanted[-1].text))
                if moment in GROWING and asking.ended(*asked):
                    break
                kills += 1
                await self._kill(moment, asking, asked)
            for client in (asking, watching):
                await _until_ended(client, asked)
            self._compare(asking, watching, dict(zip(asked, wanted, strict=True)), kills)

    async def _ask(self, client: ReturningClient, moment: str, script: Script) -> list[str]:
        """Do what comes before the moment. Gives the `cmd_id` of each question.

        The first is acknowledged before anything is killed: until then the conversation is nobody's promise, and a
        client says it again in a new one.
        """
        first, second = script
        asked = await client.say(first.message, first.params)
        await client.until(lambda: client.acknowledged(asked))
        match moment:
            case "said":
                pass
            case "reading":
                await client.until(lambda: client.ended(asked))
            case "queued":
                await client.until(lambda: client.text(asked) != "")
            case "continuing":
                await _continue(client, asked)
                return [asked]
            case _:
                return [asked]
        return [asked, await client.say(second.message, second.params)]

    async def _wait_for(self, moment: str, client: ReturningClient, cmd_id: str, length: int) -> None:
        """Wait for the moment, in the answer of that `length` to what `cmd_id` said."""
        match moment:
            case "acknowledged" | "queued":
                await client.until(lambda: client.acknowledged(cmd_id))
            case "reading":
                await client.until(lambda: client.question(cmd_id) is not None)
            case "streaming" | "continuing":
                least = len(client.text(cmd_id)) + 1
                await _until_long(client, cmd_id, self._random.randint(least, max(least, length)))
            case "ending":
                await _until_long(client, cmd_id, max(1, length - self._random.randint(0, 12)))

    async def _kill(self, moment: str, client: ReturningClient, asked: Sequence[str]) -> None:
        def shown() -> int:
            return sum(len(client.text(cmd_id)) for cmd_id in asked)

        before, visits, began = shown(), client.comebacks, time.perf_counter()
        self._server.kill()
        self.tally.kills[moment] += 1
        self._server.start()
        await client.until(lambda: client.comebacks > visits)
        if not client.ended(*asked):
            await client.until(lambda: shown() > before or client.ended(*asked))
            self.tally.back_s.append(time.perf_counter() - began)

    def _compare(
        self, asking: ReturningClient, watching: ReturningClient, wanted: dict[str, Undisturbed], kills: int
    ) -> None:
        before = len(self.tally.differences)
        if asking.messages != watching.messages:
            self.tally.differences.append(f"{asking.session}: the two clients do not show the same.")
        if len(asking.messages) != 2 * len(wanted):
            self.tally.differences.append(f"{asking.session}: there are {len(asking.messages)} messages.")
        for cmd_id, whole in wanted.items():
            ended = _ending(asking, cmd_id)
            self.tally.compare(ended.text, whole.text)
            if ended != whole:
                self.tally.differences.append(f"{asking.session}: {ended} instead of {whole}")
        self.tally.continued += kills if len(self.tally.differences) == before else 0
        self._ended[asking.session] = [message.model_dump() for message in asking.messages]

    async def _read_all_again(self) -> None:
        """Hold what the store has against what the clients saw, in another life of the server."""
        self._server.stop()
        self._server.start()
        await self._server.ready()
        for session, messages in self._ended.items():
            async with ReturningClient(self._server.port, session).staying() as client:
                await _until_whole(client, len(messages))
                for stored, shown in zip(client.messages, messages, strict=True):
                    other = {name: value for name, value in stored.model_dump().items() if value != shown[name]}
                    if other:
                        self.tally.differences.append(f"{session}: the store has {other} instead of {shown}")


async def _continue(client: ReturningClient, cmd_id: str) -> None:
    """Wait for the end of an answer and have it gone on with. Returns when it has begun again."""
    await client.until(lambda: client.ended(cmd_id))
    answer = client.answer(cmd_id)
    assert answer is not None
    continued = await client.do({"type": "continue", "id": answer.id})
    await client.until(lambda: client.acknowledged(continued))


async def _until_long(client: ReturningClient, cmd_id: str, length: int) -> None:
    await client.until(lambda: len(client.text(cmd_id)) >= length or client.ended(cmd_id))


async def _until_ended(client: ReturningClient, asked: Iterable[str]) -> None:
    await client.until(lambda: client.ended(*asked))


async def _until_whole(client: ReturningClient, messages: int) -> None:
    await client.until(lambda: len(client.state.nodes) >= messages)


def _ending(client: ReturningClient, cmd_id: str) -> Undisturbed:
    """How the answer to it ended: in an error, its sentence is the reason."""
    answer = client.answer(cmd_id)
    assert answer is not None
    reason = answer.error.message if answer.error else str(answer.finish_reason)
    return Undisturbed(str(answer.content), answer.usage.completion_tokens if answer.usage else 0, reason)


def main() -> int:
    """The exit status is 1 when anybody can tell that the server was killed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kills", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    build_kernels()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server is not left behind
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
