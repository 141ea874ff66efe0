"""`/v1/chat/completions`: the answer, as a whole with messages, or as a stream of what changes in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from pydantic import BaseModel

from backends.base import Done, Event, Reasoning, Text, TokenLogprob, ToolCalls
from server.openai.answers import FinishReason, Form, Head, Tally, Usage, finish_reason
from server.openai.logprobs import ChatLogprobs


class Function(BaseModel):
    """What is called. The arguments are a JSON object, as a string."""

    name: str
    arguments: str


class Call(BaseModel):
    """A call that the model asks for."""

    id: str
    type: Literal["function"]
    function: Function


class CallPiece(Call):
    """A call in a stream, where it comes whole. `index` is its place among the answer's calls."""

    index: int


class AnswerMessage(BaseModel):
    """The model's message. Its thinking stands under both of the names that clients look for."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[Call] | None = None


class ChatChoice(BaseModel):
    """One of the answers."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(BaseModel):
    """The answer in one piece."""

    id: str
    object: Literal["chat.completion"]
    created: int  # seconds since 1970
    model: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(BaseModel):
    """What is new in a message. The first one of a choice has the role, the last one is empty."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallPiece] | None = None


class ChunkChoice(BaseModel):
    """What is new in one of the answers."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None


class ChatCompletionChunk(BaseModel):
    """An event of a stream. Without choices it is the event that tells the usage."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int  # seconds since 1970
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


@dataclass(slots=True)
class _Kept:
    """What has come of one choice."""

    begun: bool = False
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    logprobs: list[TokenLogprob] | None = None
    done: Done | None = None


class ChatForm(Form):
    """Words one answer. What is not set in an object is not sent."""

    def __init__(self, head: Head, n: int = 1, include_usage: bool = False) -> None:
        self._head = head
        self._kept = [_Kept() for _ in range(n)]
        self._tally = Tally(n)
        self._include_usage = include_usage

    def pieces(self, event: Event) -> Iterator[bytes]:
        """What is new. A choice begins with its role, and ends with a piece that holds nothing but the reason."""
        if not isinstance(event, Text | Reasoning | ToolCalls | Done):
            return
        kept = self._kept[event.index]
        if not kept.begun:
            kept.begun = True
            yield self._chunk(event.index, Delta(role="assistant", content=""))
        match event:
            case Text():
                logprobs = ChatLogprobs.of(event.logprobs) if event.logprobs is not None else None
                yield self._chunk(event.index, Delta(content=event.text), logprobs)
            case Reasoning():
                yield self._chunk(event.index, Delta(reasoning=event.text, reasoning_content=event.text))
            case ToolCalls():
                for call in map(_call, event.calls):
                    piece = CallPiece(index=len(kept.calls), id=call.id, type="function", function=call.function)
                    kept.calls.append(call)
                    yield self._chunk(event.index, Delta(tool_calls=[piece]))
            case Done():
                self._tally.add(event)
                yield self._chunk(event.index, Delta(), done=event)

    def rest(self) -> Iterator[bytes]:
        """The usage, if it was asked for."""
        if self._include_usage:
            yield self._event([], self._tally.usage())

    def take(self, event: Event) -> None:
        """Keep it with the rest of its choice."""
        match event:
            case Text():
                kept = self._kept[event.index]
                kept.texts.append(event.text)
                if event.logprobs is not None:
                    kept.logprobs = [*(kept.logprobs or ()), *event.logprobs]
            case Reasoning():
                self._kept[event.index].thoughts.append(event.text)
            case ToolCalls():
                self._kept[event.index].calls += map(_call, event.calls)
            case Done():
                self._kept[event.index].done = event
                self._tally.add(event)

    def whole(self) -> bytes:
        """All choices, and what they took."""
        answer = ChatCompletion(
            id=f"chatcmpl-{self._head.id}",
            object="chat.completion",
            created=self._head.created,
            model=self._head.model,
            choices=[_choice(index, kept) for index, kept in enumerate(self._kept)],
            usage=self._tally.usage(),
        )
        return answer.model_dump_json(exclude_unset=True).encode()

    def _chunk(self, index: int, delta: Delta, logprobs: ChatLogprobs | None = None, done: Done | None = None) -> bytes:
        reason = finish_reason(done) if done is not None else None
        return self._event([ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=reason)])

    def _event(self, choices: list[ChunkChoice], usage: Usage | None = None) -> bytes:
        """Where the usage comes last, each event says that it has none yet."""
        chunk = ChatCompletionChunk(
            id=f"chatcmpl-{self._head.id}",
            object="chat.completion.chunk",
            created=self._head.created,
            model=self._head.model,
            choices=choices,
            usage=usage,
        )
        exclude = None if self._include_usage else {"usage"}
        return chunk.model_dump_json(exclude_unset=True, exclude=exclude).encode()


def _choice(index: int, kept: _Kept) -> ChatChoice:
    assert kept.done is not None
    return ChatChoice(
        index=index,
        message=_message(kept),
        logprobs=ChatLogprobs.of(kept.logprobs) if kept.logprobs is not None else None,
        finish_reason=finish_reason(kept.done),
    )


def _message(kept: _Kept) -> AnswerMessage:
    text, thoughts = "".join(kept.texts), "".join(kept.thoughts)
    message = AnswerMessage(role="assistant", content=text or (None if kept.calls else ""), refusal=None)
    if thoughts:
        message.reasoning = message.reasoning_content = thoughts
    if kept.calls:
        message.tool_calls = kept.calls
    return message


def _call(call: Mapping[str, Any]) -> Call:
    function = Function(name=call["name"], arguments=orjson.dumps(call["arguments"]).decode())
    return Call(id=call["id"], type="function", function=function)
