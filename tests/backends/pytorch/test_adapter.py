"""The in-process engine behind the interface of a backend: states, events, errors, and a loop that is never blocked."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.base import (
    BackendFailed,
    ContextOverflow,
    Done,
    Overloaded,
    Params,
    Progress,
    Stats,
    StatsChanged,
    Text,
    Unsupported,
)
from backends.pytorch.adapter import PyTorchBackend
from engine.llm_engine import LLMEngine
from engine.output import StepOutput
from tests.backends.pytorch.serving import (
    SECONDS,
    answer,
    error_of,
    events_of,
    is_active,
    request,
    requests_of,
    started,
    text_of,
    until,
    within,
)

# Answers


def test_an_answer_has_its_events_in_order(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            events = await events_of(backend, request())
            kinds = [type(event) for event in events]
            phases = [event.phase for event in events if isinstance(event, Progress)]
            assert phases[0] == "loading"
            assert phases[-1] == "prefill"
            assert kinds.index(Text) > len(phases) - 1
            done = events[-1]
            assert isinstance(done, Done)
            assert done.finish_reason == "length"
            assert done.usage.completion_tokens == 8
            assert done.usage.prompt_tokens == (await backend.count_tokens(request())).n
            times = done.timings
            assert 0 <= times.queued_ms <= times.ttft_ms <= times.total_ms
            assert times.tokens_per_second > 0

    within(test)


def test_token_ids_come_with_the_text_they_made(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            asked = request(params=Params(temperature=1.5, seed=3, max_tokens=60))
            events = await events_of(backend, asked)
            texts = [event for event in events if isinstance(event, Text)]
            assert all(event.text and event.token_ids for event in texts)
            done = events[-1]
            assert isinstance(done, Done)
            assert sum(len(event.token_ids) for event in texts) <= done.usage.completion_tokens

    within(test)


def test_a_prompt_may_be_messages_text_or_tokens(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            chat = await answer(backend, request())
            written = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
            text = await events_of(backend, request(prompt=written))
            tokens = await answer(backend, request(token_ids=(71, 68, 75, 75, 78)))
            assert tokens == await answer(backend, request(prompt="hello"))
            done = text[-1]
            assert isinstance(done, Done)
            assert done.usage.prompt_tokens > (await backend.count_tokens(request())).n, "text is no control token"
            assert chat != text_of(text)

    within(test)


def test_the_template_is_told_whether_to_think(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            await answer(backend, request())  # the model is loaded, so that counting is exact
            unsaid = (await backend.count_tokens(request())).n
            assert (await backend.count_tokens(request(think=True))).n == unsaid
            assert (await backend.count_tokens(request(think=False))).n > unsaid, "the template writes more then"

    within(test)


def test_several_answers_to_one_prompt_come_side_by_side(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            asked = request(params=Params(temperature=1.5, seed=5, max_tokens=12))
            alone = await answer(backend, asked)
            events = await events_of(backend, replace(asked, n=3))
            texts = [
                "".join(event.text for event in events if isinstance(event, Text) and event.index == index)
                for index in range(3)
            ]
            assert texts[0] == alone, "the first is the one that the seed gives"
            assert len(set(texts)) == 3
            ends = [event for event in events if isinstance(event, Done)]
            assert sorted(end.index for end in ends) == [0, 1, 2]
            assert {end.usage.prompt_tokens for end in ends} == {(await backend.count_tokens(asked)).n}
            assert requests_of(backend) == 0

    within(test)


def test_a_prompt_that_was_read_before_is_remembered(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            asked = request(prompt="word " * 30)
            before, after = await events_of(backend, asked), await events_of(backend, asked)
            assert text_of(before) == text_of(after)
            done = after[-1]
            assert isinstance(done, Done)
            assert 0 < done.usage.cached_tokens < done.usage.prompt_tokens
            read = [event for event in after if isinstance(event, Progress) and event.phase == "prefill"]
            assert read[-1].cached == done.usage.cached_tokens
            await until(lambda: (numbers := backend.stats()) is not None and numbers.requests_finished == 2)
            numbers = backend.stats()
            assert numbers is not None
            assert 0 < numbers.cached_tokens < numbers.prompt_tokens

    within(test)


def test_an_answer_goes_on_from_its_beginning(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            joined = await events_of(backend, request(prompt="hello wor"))
            resumed = await events_of(backend, request(prompt="hello ", resume_text="wor"))
            assert text_of(resumed) == text_of(joined)
            assert isinstance(resumed[-1], Done)
            assert isinstance(joined[-1], Done)
            assert resumed[-1].usage == joined[-1].usage
            in_chat = await events_of(backend, request(resume_text="wor"))
            assert isinstance(in_chat[-1], Done)
            assert in_chat[-1].usage.prompt_tokens == (await backend.count_tokens(request())).n + 3

    within(test)


def test_without_max_tokens_an_answer_may_fill_the_context(folder: Path) -> None:
    async def test() -> None:
        async with started(folder, context_length=64) as backend:
            events = await events_of(backend, request(params=Params(temperature=0)))
            done = events[-1]
            assert isinstance(done, Done)
            assert done.finish_reason == "length"
            assert done.usage.prompt_tokens + done.usage.completion_tokens == 64

    within(test)


def test_the_same_seed_answers_the_same_alone_and_among_others(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            asked = [
                request(str(n), prompt="x" * (n + 1), params=Params(temperature=1.2, seed=n, max_tokens=20))
                for n in range(6)
            ]
            alone = [await answer(backend, one) for one in asked]
            assert await asyncio.gather(*(answer(backend, one) for one in asked)) == alone

    within(test)


def test_the_event_loop_is_never_blocked(folder: Path) -> None:
    """A tick every millisecond goes on ticking through loading, a long prompt and decoding."""

    async def test() -> None:
        longest = 0.0

        async def tick() -> None:
            nonlocal longest
            while True:
                before = time.thread_time()
                await asyncio.sleep(0.001)
                longest = max(longest, time.thread_time() - before)

        ticking = asyncio.create_task(tick())
        async with started(folder) as backend:
            await answer(backend, request(prompt="word " * 180, params=Params(temperature=0, max_tokens=50)))
        ticking.cancel()
        assert longest < 0.05, "the loop's own thread computed"

    within(test)


def test_a_full_collection_does_not_look_through_what_was_imported(folder: Path) -> None:
    gc.unfreeze()

    async def test() -> None:
        async with started(folder) as backend:
            await answer(backend, request())
            assert len(gc.get_objects()) < 20_000, "every one of them stops the loop for half a microsecond"

    within(test)


# The queue


def test_those_who_wait_are_told_their_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, stepping, may_step = LLMEngine.step, threading.Event(), threading.Event()

    def held_step(self: LLMEngine) -> list[StepOutput]:
        stepping.set()
        assert may_step.wait(SECONDS)
        return step(self)

    async def test() -> None:
        async with started(folder, max_batch_size=1) as backend:
            await answer(backend, request("warm"))
            monkeypatch.setattr(LLMEngine, "step", held_step)
            assert backend._active is not None
            commands = backend._active._worker._commands
            first = asyncio.create_task(events_of(backend, request("first")))
            await until(stepping.is_set)
            others = [asyncio.create_task(events_of(backend, request(str(n)))) for n in range(2)]
            await until(lambda: len(commands) == 2)
            may_step.set()
            await asyncio.gather(first, *others)
            events = [[e for e in task.result() if isinstance(e, Progress)] for task in others]
            places = [[event.position for event in one if event.phase == "queued"] for one in events]
            assert sorted(places) == [[1], [2, 1]]

    within(test)


def test_more_than_may_wait_are_sent_away(folder: Path) -> None:
    async def test() -> None:
        async with started(folder, max_batch_size=1, max_queue_size=1) as backend:
            running = [asyncio.create_task(events_of(backend, request(str(n)))) for n in range(2)]
            await until(lambda: requests_of(backend) == 2)
            error = await error_of(backend, request("late"))
            assert isinstance(error, Overloaded)
            assert error.message == "Engine overloaded."
            assert error.retry_after
            await asyncio.gather(*running)
            assert await answer(backend, request("later"))

    within(test)


def test_closing_an_answer_frees_its_slot(folder: Path) -> None:
    async def test() -> None:
        async with started(folder, max_batch_size=1) as backend:
            endless = request("endless", params=Params(temperature=0, max_tokens=900))
            async with aclosing(backend.generate(endless)) as events:
                async for event in events:
                    if isinstance(event, Text):
                        break
            assert (await backend.health()).details["requests"] == 0
            assert await answer(backend, request("next"))

    within(test)


# Numbers


def test_the_engine_s_numbers_are_known_and_told(folder: Path) -> None:
    async def test() -> None:
        async with started(folder, max_batch_size=2) as backend:
            assert backend.stats() is None, "there is no engine yet"
            told: list[Stats | None] = []
            backend.notify = lambda notice: told.append(backend.stats()) if isinstance(notice, StatsChanged) else None
            await asyncio.gather(*(events_of(backend, request(str(n))) for n in range(5)))
            await until(lambda: (numbers := told[-1]) is not None and numbers.requests_finished == 5)
            ready, *_, last = told
            assert ready is not None
            assert last is not None
            assert (ready.model, ready.slots, ready.completion_tokens, ready.blocks_used) == ("tiny", 2, 0, 0)
            assert (last.running, last.waiting, last.blocks_used) == (0, 0, 0)
            assert last.completion_tokens == 5 * 8
            assert last.blocks_free + last.blocks_cached == ready.blocks_free

    within(test)


def test_the_numbers_come_to_rest_when_the_last_answer_is_closed(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            endless = request("endless", params=Params(temperature=0, max_tokens=900))
            async with aclosing(backend.generate(endless)) as events:
                async for event in events:
                    if isinstance(event, Text):
                        break
                await until(lambda: (numbers := backend.stats()) is not None and numbers.running == 1)
            await until(lambda: (numbers := backend.stats()) is not None and numbers.running == 0)

    within(test)


# What goes wrong


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"n": 0}, "n must be"),
        ({"n": 10**9}, "n must be"),
        ({"logprobs": 101}, "Log probabilities"),
        ({"tools": ({"type": "function"},)}, "Each tool"),
        ({"response_format": {"type": "yaml"}}, "json_schema"),
        ({"response_format": {"type": "json_object"}, "params": Params(stop=("}",))}, "stop string"),
        ({"params": Params(logit_bias=((259, 1.0),))}, "logit_bias names the token 259"),
        ({"params": Params(repeat_penalty=0.0)}, "repeat_penalty"),
        ({"params": Params(diffusion={"steps": 4})}, "diffusion"),
        ({"params": Params(max_tokens=0)}, "max_tokens"),
        ({"prompt": ""}, "empty"),
        ({"token_ids": (99_999,)}, "token id"),
    ],
)
def test_what_cannot_be_done_is_named(folder: Path, changes: dict[str, Any], field: str) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            error = await error_of(backend, request(**changes))
            assert isinstance(error, Unsupported)
            assert field in error.message
            assert (await backend.health()).details.get("requests", 0) == 0

    within(test)


def test_a_prompt_too_long_is_refused_with_numbers(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            error = await error_of(backend, request(prompt="x" * 2000))
            assert isinstance(error, ContextOverflow)
            assert "2,000 tokens" in error.message
            assert "1,024" in error.message

    within(test)


def test_closing_ends_what_runs_and_leaves_no_thread(folder: Path) -> None:
    async def test() -> None:
        backend = PyTorchBackend(folder / "Tiny.Q4_1.gguf", folder, threads=1)
        await backend.start()
        running = asyncio.create_task(error_of(backend, request(params=Params(temperature=0, max_tokens=900))))
        await until(lambda: is_active(backend, "tiny"))
        await backend.close()
        assert isinstance(await running, BackendFailed)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("engine ")]

    within(test)


def test_importing_the_backend_does_not_import_torch() -> None:
    code = "import backends.pytorch, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
