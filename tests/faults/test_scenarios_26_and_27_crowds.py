"""More prompts than can be answered: who is refused, who is next, and that the server says so at once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from backends.pytorch import PyTorchBackend
from server.turns import MAX_WAITING
from tests.faults.whole_server import Whole, play, say, whole
from tests.server.doubles import eventually
from tests.server.serving import joined
from tests.tiny_model import write_tiny_model

AT_ONCE_S = 1.0  # twenty times what a refusal may take
ENDLESS = {"prompt": "a", "max_tokens": 900, "temperature": 0}


def engine(folder: Path, **settings: object) -> dict[str, object]:
    """Settings for the engine in this process, with one slot and the tiny model."""
    path = write_tiny_model(folder / "tiny.gguf")
    return {
        "backends": ["pytorch"],
        "model_path": str(path),
        "model_dir": str(folder),
        "torch_threads": 1,
        "max_batch_size": 1,
        **settings,
    }


async def ready(server: Whole) -> None:
    """Wait until the model answers."""
    assert isinstance(server.backend("pytorch"), PyTorchBackend)
    async with server.http() as client:
        answer = await client.post("/v1/completions", json={"prompt": "b", "max_tokens": 1})
        assert answer.status_code == 200


def test_26_one_prompt_too_many_in_a_conversation_is_refused_at_once() -> None:
    async def scenario() -> None:
        async with whole() as server, joined(server.ws) as client, server.http() as http:
            server.recital.pace.hold()
            for number in range(MAX_WAITING + 1):
                await client.send(say(f"Go {number}"))
                await client.until("ack")
            began = asyncio.get_running_loop().time()
            await client.send(say("One more"))
            refusal = await client.until("error", "ack")
            assert asyncio.get_running_loop().time() - began < AT_ONCE_S
            assert (refusal["code"], refusal["cmd_id"]) == ("overloaded", "One more")
            assert float(str(refusal["retry_after"])) > 0
            assert (await http.get("/health/live")).status_code == 200
            server.recital.pace.free()
            for _ in range(MAX_WAITING + 1):
                assert (await client.until("ai"))["finish_reason"] == "stop"
            assert "One more" not in [frame["message"] for frame in client.frames if frame["type"] == "user"]

    play(scenario)


def test_26_one_request_too_many_for_the_engine_is_refused_at_once_and_the_server_is_alive(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with whole(**engine(tmp_path, max_queue_size=2)) as server:
            await ready(server)
            async with server.http() as http, joined(server.ws) as client:
                numbers = itertools.count()

                async def crowd() -> None:
                    while True:
                        await http.post("/v1/completions", json=ENDLESS)
                        await asyncio.sleep(0.005)  # so that the refused ones leave time for others

                async def until_refused(ask: Callable[[], Awaitable[dict[str, object]]]) -> dict[str, object]:
                    """There may be room for a moment, when an answer has ended and the crowd has not yet seen it."""
                    while True:
                        began = asyncio.get_running_loop().time()
                        answer = await ask()
                        if "refused" in answer:
                            assert asyncio.get_running_loop().time() - began < AT_ONCE_S
                            return answer

                async def by_socket() -> dict[str, object]:
                    await client.send(say("Go", str(next(numbers)), params={"max_tokens": 1}))
                    end = await client.until("error", "ai")
                    return {**end, "refused": True} if end["type"] == "error" else end

                async def by_request() -> dict[str, object]:
                    answer = await http.post("/v1/completions", json={"prompt": "b", "max_tokens": 1})
                    return {"headers": answer.headers, "refused": True} if answer.status_code == 503 else {}

                holding = [asyncio.create_task(crowd()) for _ in range(6)]
                await eventually(lambda: server.hub.active >= 3)
                assert (await until_refused(by_socket))["code"] == "overloaded"
                headers = (await until_refused(by_request))["headers"]
                assert isinstance(headers, httpx.Headers)
                assert int(headers["retry-after"]) >= 1
                assert (await http.get("/health/ready")).status_code == 503
                assert (await http.get("/health/live")).status_code == 200
                for task in holding:
                    task.cancel()
                await eventually(lambda: server.hub.active == 0)

    play(scenario)


def test_27_fifty_prompts_of_one_client_do_not_hold_up_the_one_of_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with whole(**engine(tmp_path)) as server:
            await ready(server)
            order: list[str] = []

            async def ask(name: str, client: httpx.AsyncClient, number: int) -> None:
                asked = {"prompt": f"{name} {number}", "max_tokens": 60, "temperature": 0}
                assert (await client.post("/v1/completions", json=asked)).status_code == 200
                order.append(name)

            async with server.http(local_address="127.0.0.2") as many, server.http() as one:
                asking = [asyncio.create_task(ask("many", many, number)) for number in range(50)]
                await eventually(lambda: server.hub.active >= 40)
                done = len(order)
                await ask("one", one, 0)
                # Two turns, and those that ended while it was on its way there and back.
                assert order[done:].index("one") <= 6, "it must not wait for the others to end"
                await asyncio.gather(*asking)
                assert len(order) == 51

    play(scenario)


def test_27_a_conversation_with_many_prompts_does_not_hold_up_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with whole(**engine(tmp_path)) as server, joined(server.ws) as many, joined(server.ws) as one:
            await ready(server)
            for number in range(MAX_WAITING + 1):
                await many.send(say(f"Go {number}", params={"max_tokens": 300, "temperature": 0}))
            nodes, queue = server.session(many).state.nodes, server.session(many).state.queue
            await eventually(lambda: len(queue) > 3)

            def finished() -> int:
                return sum(node.finish_reason is not None for node in nodes.values())

            before = finished()
            await one.send(say("Go", params={"max_tokens": 10, "temperature": 0}))
            await one.until("ai")
            assert finished() - before <= 3, "it must not wait for those that wait elsewhere"

    play(scenario)
