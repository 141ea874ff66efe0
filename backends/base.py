"""What every backend speaks: requests in, typed events out, one tree of errors.

A backend turns a `GenerationRequest` into events. It owns how the answer is computed; it knows nothing about sessions,
sockets or messages on the wire. The smallest one implements `generate` and `list_models` (see `echo.py`).

The errors:

    BackendError              anything a run can end with; `code` is the word on the wire
    ├── BackendUnreachable    nothing answers at the backend's address
    ├── BackendTimeout        it answered too late, or fell silent
    ├── BackendFailed         it broke while answering
    ├── ModelNotFound         it has no model of that name
    ├── ModelInvalid          the model's file cannot be used
    ├── ContextOverflow       the prompt does not fit the model's context
    ├── Overloaded            no room for another request now; `retry_after` says when to come back
    └── Unsupported           the request asks for what this backend cannot do
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

FinishReason = Literal["stop", "length", "cancelled", "interrupted", "abandoned", "tool_calls"]
Kind = Literal["autoregressive", "diffusion"]
ModelState = Literal["ready", "loading", "draining", "available", "unreachable", "failed"]
Phase = Literal["queued", "loading", "prefill", "decoding"]


class BackendError(Exception):
    """A failure that ends a run. `str(error)` is a sentence for the person who asked: no paths, URLs or tracebacks."""

    code: ClassVar[str] = "backend_error"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class BackendUnreachable(BackendError):
    code = "backend_unreachable"


class BackendTimeout(BackendError):
    code = "backend_timeout"


class BackendFailed(BackendError):
    code = "backend_error"


class ModelNotFound(BackendError):
    code = "model_not_found"


class ModelInvalid(BackendError):
    code = "model_invalid"


class ContextOverflow(BackendError):
    code = "context_overflow"


class Overloaded(BackendError):
    code = "overloaded"


class Unsupported(BackendError):
    code = "unsupported"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        """`field` of the request is what cannot be done, where it is a single one."""
        super().__init__(message)
        self.field = field


# Requests


@dataclass(slots=True, frozen=True)
class Message:
    """One turn of a conversation, as the model is shown it.

    An assistant's `tool_calls` are as in `ToolCalls`; a tool's answer names the call it answers, or the tool.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[dict[str, Any], ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(slots=True, frozen=True)
class Params:
    """How to sample. The defaults are the chat's; `None` leaves the choice to the backend.

    The penalties weaken tokens that the answer has already: `presence_penalty` is taken off the logits of each once,
    `frequency_penalty` as often as it is there, and `repeat_penalty` divides those of tokens in the prompt, too.
    `logit_bias` is added to the logits: pairs of a token's id and from -100, never, to 100, always.
    """

    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int = 40
    min_p: float = 0.0
    max_tokens: int | None = None  # None: what is left of the context
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    diffusion: dict[str, Any] | None = None


@dataclass(slots=True, frozen=True)
class GenerationRequest:
    """One call for an answer. Exactly one of `messages`, `prompt` and `token_ids` is given.

    `resume_text` is an answer's beginning that the model must go on from: it belongs to the prompt. `resume_token_ids`
    are tokens of this very answer, after that text, which were sampled before something broke: the answer goes on as if
    it had never been cut, and only what is new is yielded. They count against `max_tokens` and in the usage.
    `response_format` is `{"type": "json_object"}` or `{"type": "json_schema", "schema": {...}}`: the answer is such a
    document. `tools` are OpenAI's function objects, `tool_choice` is "auto", "none", "required" or a function's name.
    `logprobs` asks for the probability of each token and of so many likely others.
    `fairness_key` groups the requests of one client, so that no client can hold up another; a higher `priority` goes
    first.
    """

    request_id: str
    model: str  # the backend's own name for it, without the `backend/` prefix
    messages: tuple[Message, ...] | None = None
    prompt: str | None = None
    token_ids: tuple[int, ...] | None = None
    params: Params = field(default_factory=Params)
    think: bool | None = None
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    response_format: dict[str, Any] | None = None
    n: int = 1
    logprobs: int | None = None
    resume_text: str = ""
    resume_token_ids: tuple[int, ...] = ()
    fairness_key: str = ""
    priority: int = 0


# Events


@dataclass(slots=True, frozen=True)
class TokenLogprob:
    """A token's natural log probability. `data` are its bytes, which may be a part of a character; `text` shows them.

    `top` are the likeliest tokens at its place, likeliest first.
    """

    token_id: int
    text: str
    data: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(slots=True, frozen=True)
class Text:
    """A piece of the answer. `token_ids` are the tokens it came from, where the backend knows them.

    A backend that `resumes` goes on after any piece, given the tokens of all pieces up to there. `logprobs` has one
    entry for each of the tokens, where they were asked for.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None
    index: int = 0


@dataclass(slots=True, frozen=True)
class Reasoning:
    """A piece of the model's thinking, kept apart from the answer."""

    text: str
    token_ids: tuple[int, ...] = ()
    index: int = 0


@dataclass(slots=True, frozen=True)
class ToolCalls:
    """Whole tool calls: `{"id", "name", "arguments"}`, the arguments an object."""

    calls: tuple[dict[str, Any], ...]
    index: int = 0


@dataclass(slots=True, frozen=True)
class Canvas:
    """The state of a diffusion model's canvas: `ops` are `(position, text, state, confidence)`."""

    rev: int
    length: int
    full: bool
    step: int
    ops: tuple[tuple[int, str, str, float], ...]
    index: int = 0


@dataclass(slots=True, frozen=True)
class Progress:
    """Where a request stands while no text comes. `done` and `total`: bytes when loading, tokens in prefill.

    `cached` of the tokens that are done were not read now: they were known from an earlier prompt.
    """

    phase: Phase
    done: int = 0
    total: int = 0
    cached: int = 0
    position: int | None = None  # in the queue, 1 = next
    message: str = ""
    index: int = 0


@dataclass(slots=True, frozen=True)
class Usage:
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@dataclass(slots=True, frozen=True)
class Timings:
    """Milliseconds, and tokens per second of the decoding alone. `None` is unknown."""

    queued_ms: float | None = None
    ttft_ms: float | None = None
    total_ms: float | None = None
    tokens_per_second: float | None = None


@dataclass(slots=True, frozen=True)
class Done:
    """The end of a choice. Every choice ends in exactly one, unless the generator raises a `BackendError`."""

    finish_reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)
    index: int = 0


Event = Text | Reasoning | ToolCalls | Canvas | Progress | Done


# Models


@dataclass(slots=True, frozen=True)
class ModelInfo:
    """One line of the model list. `name` is the backend's own; the hub puts `backend/` before it.

    One with the capability `continue` goes on with an answer that has begun: it honours `resume_text`.
    `family` is the word that model files have for its architecture, such as `llama`; `parameters` is how many it has,
    `embedding_length` how many numbers stand for a token in it.
    """

    name: str
    kind: Kind = "autoregressive"
    state: ModelState = "ready"
    reason: str | None = None  # why it is unreachable or failed: a sentence
    progress: float | None = None  # of loading, 0..1
    size: int | None = None  # bytes
    quantization: str | None = None
    context_length: int | None = None
    temperature: float | None = None  # what its makers advise; None: the chat's own default
    capabilities: tuple[str, ...] = ("completion",)
    family: str | None = None
    parameters: int | None = None
    embedding_length: int | None = None


@dataclass(slots=True, frozen=True)
class Health:
    """Whether a backend can answer, and if not, why."""

    ok: bool
    reason: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class TokenCount:
    n: int
    exact: bool


@dataclass(slots=True, frozen=True)
class Stats:
    """What a backend's engine does at this moment, and counts since it was built.

    Its memory for conversations is made of blocks: used by answers, cached (free to use, but what they hold is still
    known and spares reading it again), or free.
    """

    model: str  # the backend's own name for it
    running: int
    waiting: int
    slots: int  # answers that may run at once
    blocks_used: int
    blocks_cached: int
    blocks_free: int
    prompt_tokens: int = 0  # of all prompts so far
    cached_tokens: int = 0  # of those, the ones that need not be read
    completion_tokens: int = 0  # written so far
    requests_finished: int = 0
    preemptions: int = 0  # answers that made room for others and were computed again
    evictions: int = 0  # cached blocks that were given to others
    copies: int = 0  # blocks that were copied because somebody else reads them
    forks: int = 0  # answers that began on the blocks of another one
    drafts_proposed: int = 0  # tokens that were guessed ahead
    drafts_accepted: int = 0  # and were right
    computing: str = ""  # in what form the model computes, in words
    tokens_per_second: float | None = None  # written by all answers together, over the last moments; None while idle
    step_ms: Mapping[str, float] = field(default_factory=dict)  # where the time of a step goes, by part


# Backends


@dataclass(slots=True, frozen=True)
class ModelsChanged:
    """The backend's model list is not what it was."""


@dataclass(slots=True, frozen=True)
class StatsChanged:
    """The backend's `stats` are not what they were. Said a few times a second at most."""


@dataclass(slots=True, frozen=True)
class Loading:
    """A model is being pulled or loaded, whoever asked for it. `done` and `total` in bytes; `total` 0 is unknown."""

    model: str
    message: str
    done: int = 0
    total: int = 0


Notice = ModelsChanged | StatsChanged | Loading


def _ignore(notice: Notice) -> None:
    """Nobody listens yet."""


class Backend(ABC):
    """Where answers come from.

    The hub calls every method on its event loop, so none may block it. `notify` is set by the hub: call it, on the
    loop, when something changed that nobody asked for. `continues`: models of its that have the capability `continue`
    honour `resume_text`; `resumes`: they honour `resume_token_ids` too, so that an answer survives the server.
    `branches`: it makes several choices of one request itself; of others, the hub asks for each of them.
    """

    name: ClassVar[str]
    continues: bool = False
    resumes: bool = False
    branches: bool = False
    notify: Callable[[Notice], None] = staticmethod(_ignore)

    @abstractmethod
    def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """Yield the answer's events, a `Done` for each choice last.

        Closing the generator cancels the work upstream. Failures are raised as a `BackendError`; what was yielded
        before stands.
        """

    @abstractmethod
    async def list_models(self) -> Sequence[ModelInfo]:
        """The models as they are known now. May ask the network: the hub calls it in the background.

        Raises `BackendUnreachable` when there is nobody to ask.
        """

    def load(self, model: str) -> AsyncGenerator[Loading, None]:
        """Make `model` ready to answer, yielding how far it is. By default a model is ready when it is listed.

        The last step names the model as the list does, where `model` is another name for it.
        Raises `ModelNotFound` or `ModelInvalid`; then whatever was loaded before still is.
        """
        return self._load_listed(model)

    async def _load_listed(self, model: str) -> AsyncGenerator[Loading, None]:
        if all(info.name != model for info in await self.list_models()):
            raise ModelNotFound(f"There is no model {model} here. Pick one from the list.")
        yield Loading(model, "ready")

    async def unload(self, model: str) -> None:
        """Free the memory `model` takes. By default there is nothing to free."""

    async def health(self) -> Health:
        """Whether an answer can be expected now."""
        try:
            models = await self.list_models()
        except BackendError as error:
            return Health(False, error.message)
        if any(info.state in ("ready", "available") for info in models):
            return Health(True)
        reasons = [info.reason for info in models if info.reason]
        return Health(False, reasons[0] if reasons else "No model is ready yet.")

    def stats(self) -> Stats | None:
        """The engine's numbers as last measured. None, the default, where there is no engine of our own to measure."""
        return None

    async def count_tokens(self, request: GenerationRequest) -> TokenCount:
        """How many tokens the prompt takes: by default a guess of four characters a token."""
        if request.token_ids is not None:
            return TokenCount(len(request.token_ids), exact=True)
        texts = [message.content for message in request.messages or ()] or [request.prompt or ""]
        return TokenCount(sum(len(text) // 4 + 4 for text in texts), exact=False)

    async def start(self) -> None:
        """Begin work behind the page, such as loading a model. Returns at once."""

    async def close(self) -> None:
        """Cancel what runs and give everything back."""
