"""Many chats at once over real sockets, on the engine in this process: nobody's answer is lost, cut or mixed up."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

from backends.pytorch import PyTorchBackend
from server.options import HubOptions
from tests.server.serving import SocketClient, joined, serving
from tests.tiny_model import write_tiny_model

CHATS = 16
QUESTIONS = [f"{'word ' * number}{number}?" for number in range(CHATS)]


async def answer_of(client: SocketClient, question: str) -> str:
    """Ask, and check what came against itself: every event in order, and the text equal to its pieces."""
    params = {"temperature": 0, "max_tokens": 24}
    await client.send(json.dumps({"type": "user", "message": question, "params": params}))
    end = await client.until("ai", "error")
    assert end["type"] == "ai", end
    pieces = [str(frame["message"]) for frame in client.frames if frame["type"] == "delta"]
    assert "".join(pieces) == end["message"]
    assert client.seqs() == list(range(1, len(client.seqs()) + 1)), "no event was lost or doubled"
    return str(end["message"])


def test_sixteen_chats_at_once_get_the_answers_that_each_gets_alone(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "Tiny.Q4_1.gguf")

    async def scenario() -> None:
        backend = PyTorchBackend(path, tmp_path, threads=1, max_batch_size=CHATS // 2)  # so that some wait
        async with serving([backend], HubOptions(stream_flush_ms=5)) as (_, url):
            async with AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(joined(url)) for _ in QUESTIONS]
                asked = zip(clients, QUESTIONS, strict=True)
                together = await asyncio.gather(*(answer_of(client, question) for client, question in asked))
            alone = []
            for question in QUESTIONS:
                async with joined(url) as client:
                    alone.append(await answer_of(client, question))
        assert together == alone
        assert len(set(together)) > CHATS // 2, "the questions have different answers, or the test would prove nothing"

    asyncio.run(scenario())
