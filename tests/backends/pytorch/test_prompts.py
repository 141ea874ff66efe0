from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from backends.base import GenerationRequest, Message, Params
from backends.pytorch.prompts import KEPT, Prompts
from engine.config import EngineConfig
from engine.llm_engine import LLMEngine
from engine.reports import Ready
from engine.structured import Grammars
from engine.tokenizer import Tokenizer
from tests.tiny_model import CONTEXT, write_tiny_model

CHAT = GenerationRequest("r", "tiny", messages=(Message("user", "hello"),), params=Params(max_tokens=None))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokenizer]:
    path = write_tiny_model(tmp_path_factory.mktemp("prompts") / "Tiny.Q4_1.gguf")
    tokenizer = LLMEngine.from_gguf(path, config=EngineConfig(threads=1)).tokenizer
    yield tokenizer
    tokenizer.close()


@pytest.fixture
def encoded(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every conversation that is encoded."""
    seen: list[object] = []
    encode = tokenizer.encode_chat

    def encode_chat(messages: object, **switches: object) -> list[int]:
        seen.append(messages)
        return encode(messages, **switches)  # type: ignore[arg-type]

    monkeypatch.setattr(tokenizer, "encode_chat", encode_chat)
    return seen


def test_a_prompt_that_was_counted_is_not_encoded_again(tokenizer: Tokenizer, encoded: list[object]) -> None:
    async def scenario() -> None:
        prompts, engine = Prompts(), Ready(tokenizer, CONTEXT, Grammars(tokenizer))
        counted = await prompts.count(CHAT, engine)
        prepared = await prompts.prepare(CHAT, engine)
        assert len(prepared.token_ids) == counted
        assert prepared.params.max_tokens == CONTEXT - counted, "the answer may fill the context"
        assert len(encoded) == 1
        assert await prompts.prepare(CHAT, engine) == prepared
        assert len(encoded) == 2, "it is kept for one answer"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "changes",
    [{"request_id": "s"}, {"messages": (Message("user", "bye"),)}, {"think": False}, {"resume_text": "Well"}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_prompt_is_encoded_for_itself(
    tokenizer: Tokenizer, encoded: list[object], changes: dict[str, object]
) -> None:
    async def scenario() -> None:
        prompts, engine = Prompts(), Ready(tokenizer, CONTEXT, Grammars(tokenizer))
        other = replace(CHAT, **changes)  # type: ignore[arg-type]
        expected = (await Prompts().prepare(other, engine)).token_ids
        await prompts.count(CHAT, engine)
        encoded.clear()
        assert (await prompts.prepare(other, engine)).token_ids == expected
        assert len(encoded) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("changes", "begun"),
    [({}, False), ({"resume_text": "Well"}, True), ({"messages": None, "prompt": "It"}, True)],
    ids=["chat", "continued", "prompt"],
)
def test_it_is_known_whether_the_answer_goes_on_with_a_text(
    tokenizer: Tokenizer, changes: dict[str, object], begun: bool
) -> None:
    asked = replace(CHAT, **changes)  # type: ignore[arg-type]
    assert asyncio.run(Prompts().prepare(asked, Ready(tokenizer, CONTEXT, Grammars(tokenizer)))).begun is begun


def test_what_is_only_counted_is_not_kept_for_ever(tokenizer: Tokenizer, encoded: list[object]) -> None:
    async def scenario() -> None:
        prompts, engine = Prompts(), Ready(tokenizer, CONTEXT, Grammars(tokenizer))
        for number in range(KEPT + 1):
            await prompts.count(replace(CHAT, request_id=f"{number}"), engine)
        encoded.clear()
        await prompts.prepare(replace(CHAT, request_id="0"), engine)
        assert len(encoded) == 1
        await prompts.prepare(replace(CHAT, request_id=f"{KEPT}"), engine)
        assert len(encoded) == 1

    asyncio.run(scenario())
