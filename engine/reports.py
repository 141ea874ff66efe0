"""What the engine's thread is told, and what it reports.

Values only: they cross from one thread to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.output import EngineStats, StepOutput
from engine.sampling_params import SamplingParams

if TYPE_CHECKING:  # brings torch, which takes seconds to import
    from engine.guide import Guide
    from engine.structured import Grammars
    from engine.tokenizer import Tokenizer


@dataclass(slots=True, frozen=True)
class Request:
    """What `submit` takes: the arguments of `LLMEngine.add_request`."""

    request_id: str
    token_ids: tuple[int, ...]
    params: SamplingParams
    n: int = 1
    fairness_key: str = ""
    priority: int = 0
    begun: bool = False
    resumed: tuple[int, ...] = ()
    guide: Guide | None = None


@dataclass(slots=True, frozen=True)
class Loading:
    """So many bytes of the model's file have been read."""

    done: int
    total: int


@dataclass(slots=True, frozen=True, eq=False)
class Ready:
    """The engine takes requests."""

    tokenizer: Tokenizer
    context_length: int
    grammars: Grammars


@dataclass(slots=True, frozen=True)
class Failed:
    """There will be no engine: the last report."""

    error: EngineError


@dataclass(slots=True, frozen=True)
class Stepped:
    """What a step gave, and the places in the queue of those who wait, when they have changed."""

    started: float  # by the monotonic clock
    outputs: list[StepOutput]
    queued: dict[str, int]


@dataclass(slots=True, frozen=True)
class Measured:
    """The engine's numbers: a few times a second while it works, and whenever it comes to rest."""

    stats: EngineStats


@dataclass(slots=True, frozen=True)
class Rejected:
    """The engine does not take this request. `error` is an EngineError, or a ValueError for what no request may be."""

    request_id: str
    error: Exception


@dataclass(slots=True, frozen=True)
class Crashed:
    """The engine broke while it ran these. It is being built anew, unless `Failed` follows."""

    request_ids: list[str]


@dataclass(slots=True, frozen=True)
class Ended:
    """The thread is done, as it was asked: the last report."""


Report = Loading | Ready | Failed | Stepped | Measured | Rejected | Crashed | Ended
