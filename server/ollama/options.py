"""`options` of Ollama's requests: what each is, and what it means for an answer of ours.

Nothing is passed over in silence. What shapes the answer is done, or refused by its name. What only says how a server
should compute, and names that nobody knows, are followed by nobody here: those are told back, in `unheeded`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from backends.base import Params
from server.ollama.errors import SHOWN, Refused

Kind = Literal["integer", "float32", "boolean", "array"]

HEEDED: dict[str, Kind] = {
    "temperature": "float32",
    "top_k": "integer",
    "top_p": "float32",
    "min_p": "float32",
    "num_predict": "integer",
    "num_ctx": "integer",
    "seed": "integer",
    "stop": "array",
    "repeat_penalty": "float32",
    "presence_penalty": "float32",
    "frequency_penalty": "float32",
}
UNHEEDED: dict[str, Kind] = {
    "num_keep": "integer",
    "repeat_last_n": "integer",  # penalties look at all that was written
    "num_batch": "integer",
    "num_gpu": "integer",
    "main_gpu": "integer",
    "num_thread": "integer",
    "draft_num_predict": "integer",
    "use_mmap": "boolean",
    "use_mlock": "boolean",
    "low_vram": "boolean",
    "numa": "boolean",
    "f16_kv": "boolean",
    "vocab_only": "boolean",
    "logits_all": "boolean",
    "embedding_only": "boolean",
    "penalize_newline": "boolean",
    "mirostat_tau": "float32",  # they shape nothing while mirostat is off
    "mirostat_eta": "float32",
}
NEUTRAL: dict[str, tuple[Kind, float]] = {  # shapes the answer unless it has this value
    "typical_p": ("float32", 1.0),
    "tfs_z": ("float32", 1.0),
    "mirostat": ("integer", 0),
}

TEMPERATURE, TOP_K, TOP_P = 0.8, 40, 0.9  # Ollama's own
MOST_STOPS, LONGEST_STOP = 64, 1024
LARGEST_SEED = 2**63 - 1


@dataclass(slots=True, frozen=True)
class Options:
    """How to sample, and how many tokens question and answer may have together, if that was said."""

    params: Params
    num_ctx: int | None = None
    unheeded: tuple[str, ...] = ()


def read_options(given: Mapping[str, object], temperature: float | None = None) -> Options:
    """What `given` means. `temperature`: what the model's makers advise. Raises Refused, naming the option."""
    told = {name: value for name, value in given.items() if value is not None}
    for name, value in told.items():
        _check(name, value)
    numbers = {name: value for name, value in told.items() if isinstance(value, int | float)}
    for name, (_, neutral) in NEUTRAL.items():
        if numbers.get(name, neutral) != neutral:
            raise Refused(f'option "{name}" is not supported here. Leave it out.')
    unheeded = tuple(name[:SHOWN] for name in told if name not in HEEDED and name not in NEUTRAL)
    num_ctx = int(numbers.get("num_ctx", 0))
    return Options(_params(numbers, _stop(told.get("stop")), temperature), num_ctx if num_ctx > 0 else None, unheeded)


def _params(numbers: Mapping[str, float], stop: tuple[str, ...], temperature: float | None) -> Params:
    def within(name: str, usual: float, low: float, high: float = math.inf) -> float:
        value = numbers.get(name, usual)
        if not low <= value <= high:
            bound = f"from {low:g} to {high:g}" if high < math.inf else f"at least {low:g}"
            raise Refused(f'option "{name}" must be {bound}.')
        return value

    seed, most = int(numbers.get("seed", -1)), int(numbers.get("num_predict", -1))
    return Params(
        temperature=within("temperature", TEMPERATURE if temperature is None else temperature, 0),
        top_p=within("top_p", TOP_P, 0, 1),
        top_k=max(0, int(numbers.get("top_k", TOP_K))),
        min_p=within("min_p", 0, 0, 1),
        max_tokens=most if most > 0 else None,
        stop=stop,
        seed=seed if 0 <= seed <= LARGEST_SEED else None,
        presence_penalty=within("presence_penalty", 0, -2, 2),
        frequency_penalty=within("frequency_penalty", 0, -2, 2),
        repeat_penalty=within("repeat_penalty", 1, 0.01, 100),
    )


def _check(name: str, value: object) -> None:
    kind = HEEDED.get(name) or UNHEEDED.get(name) or (NEUTRAL[name][0] if name in NEUTRAL else None)
    fits = {
        "integer": _is_number(value),
        "float32": _is_number(value),
        "boolean": isinstance(value, bool),
        "array": isinstance(value, list),
        None: True,
    }
    if not fits[kind]:
        raise Refused(f'option "{name}" must be of type {kind}')


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _stop(value: object) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else []
    if not all(isinstance(text, str) for text in texts):
        raise Refused('option "stop" must be of an array of strings')
    if len(texts) > MOST_STOPS or any(len(text) > LONGEST_STOP for text in texts):
        raise Refused(f'option "stop" has at most {MOST_STOPS} texts of {LONGEST_STOP} characters.')
    return tuple(text for text in texts if text)
