"""Backends that misbehave only when a test wants them to.

`Recital` is a model whose every token is known beforehand, and which says the next one only when a test lets it. Its
answer to a prompt is always the same 200 tokens. Many characters in it are spread over several tokens, as they are
in real vocabularies, so half of one is held back until the rest has come. It can go on with an answer that was cut, by
its tokens (`resume_token_ids`) or by its text (`resume_text`).
"""

from __future__ import annotations

import asyncio
import bisect
import codecs
import itertools
import zlib
from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar

from backends.base import (
    Backend,
    Done,
    Event,
    GenerationRequest,
    ModelInfo,
    ModelNotFound,
    Reasoning,
    Text,
    Usage,
)
from backends.ollama import OllamaBackend

LENGTH = 200
MODEL = "recital"
WORDS = (
    *("Once ", "upon 一次 ", "a 😀🏽 ", "time,\n", "naïve ", "日本語の文 "),
    *("👩‍👩‍👧 ", "fin. ", "\n\n", "data: ", "ещё ", "𝒳 "),
)


def recital(prompt: str, length: int = LENGTH) -> list[bytes]:
    """The answer to `prompt`: so many tokens of one to four bytes, which are UTF-8 only together."""
    seed = zlib.crc32(prompt.encode("utf-8", "surrogatepass"))
    words = itertools.islice(itertools.cycle(WORDS), seed % len(WORDS), None)
    sizes = itertools.islice(itertools.cycle((3, 1, 2, 4, 1, 3, 2)), seed % 7, None)
    text = f"{seed:08x} ".encode()
    tokens: list[bytes] = []
    while len(tokens) < length - 1:
        while len(text) < 4:
            text += next(words).encode()
        size = next(sizes)
        tokens.append(text[:size])
        text = text[size:]
    return [*tokens, _to_the_next_character(text) + b"."]


def text_of(tokens: Sequence[bytes]) -> str:
    """What tokens say when no more follow; half a character at the end is not said."""
    return codecs.getincrementaldecoder("utf-8")().decode(b"".join(tokens))


class Pace:
    """How many tokens may still be said, by all answers together; an end counts as one. It begins without a bound."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._more = asyncio.Event()

    def hold(self) -> None:
        """From now on, nothing is said that was not allowed."""
        self._left = 0

    def allow(self, tokens: int) -> None:
        """So many more tokens may be said."""
        self._left = (self._left or 0) + tokens
        self._more.set()

    def free(self) -> None:
        """Say whatever there is to say."""
        self._left = None
        self._more.set()

    async def token(self) -> None:
        """Wait until one more token may be said."""
        while self._left == 0:
            self._more.clear()
            await self._more.wait()
        if self._left is not None:
            self._left -= 1
        for _ in range(2):  # time for each to be sent on by itself
            await asyncio.sleep(0)


class Recital(Backend):
    """The backend. `pace` holds it back; `said` counts the tokens of each request; `left` names those that were cut."""

    name = "recital"
    resumes: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __init__(self, length: int = LENGTH, thinking: int = 0) -> None:
        """`thinking`: so many of the tokens are reasoning."""
        self.length = length
        self.thinking = thinking
        self.pace = Pace()
        self.requests: list[GenerationRequest] = []
        self.said: dict[str, int] = {}
        self.left: list[str] = []
        self.failure: Exception | None = None  # what every answer breaks with at its next token

    async def list_models(self) -> Sequence[ModelInfo]:
        return [ModelInfo(MODEL, context_length=32_768)]

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        if request.model != MODEL:
            raise ModelNotFound(f"There is no model {request.model} here.")
        self.requests.append(request)
        self.said[request.request_id] = 0
        try:
            async for event in self._say(request):
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self.left.append(request.request_id)
            raise

    async def _say(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        tokens, first = self._tokens(request)
        last = min(len(tokens), request.params.max_tokens or len(tokens))
        decoder = codecs.getincrementaldecoder("utf-8")()
        decoder.decode(b"".join(tokens[:first]))
        for number in range(first, last):
            await self.pace.token()
            if self.failure is not None:
                raise self.failure
            self.said[request.request_id] += 1
            text = decoder.decode(tokens[number])
            yield (Reasoning if number < self.thinking else Text)(text, token_ids=(number,))
        await self.pace.token()
        finish = "stop" if last == len(tokens) else "length"
        yield Done(finish, Usage(len(prompt_of(request).split()), 0, last))

    def _tokens(self, request: GenerationRequest) -> tuple[list[bytes], int]:
        """All the tokens of this answer, and how many of them were said before."""
        tokens = recital(prompt_of(request), self.length)
        if request.resume_text:
            tokens = _after(tokens, request.resume_text)
        ids = request.resume_token_ids
        assert ids == tuple(range(len(ids))), "an answer is resumed with tokens that were never said"
        return tokens, len(ids)


def prompt_of(request: GenerationRequest) -> str:
    """All that is asked, earlier turns included: another branch has another answer."""
    if request.messages is None:
        return request.prompt or ""
    return "\n".join(f"{message.role}: {message.content}" for message in request.messages)


def _after(tokens: list[bytes], text: str) -> list[bytes]:
    """The tokens that follow `text`, which is not empty; all of them when it is none of this answer's beginnings."""
    said, whole = text.encode(), b"".join(tokens)
    if not whole.startswith(said):
        return tokens
    ends = list(itertools.accumulate(len(token) for token in tokens))
    number = bisect.bisect_left(ends, len(said))
    rest = [whole[len(said) : ends[number]], *tokens[number + 1 :]]
    return [token for token in rest if token]


def _to_the_next_character(text: bytes) -> bytes:
    """The rest of a character that has begun already."""
    begins = next((at for at, byte in enumerate(text) if byte & 0xC0 != 0x80), len(text))
    return text[:begins]


class LongRecital(Recital):
    """Answers of ten times the length."""

    def __init__(self) -> None:
        super().__init__(10 * LENGTH)


class ImpatientOllama(OllamaBackend):
    """The adapter of an Ollama server at `address`, which gives up after a moment."""

    address: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__(self.address, connect_timeout=0.5, first_token_timeout=0.3, idle_timeout=0.3)
