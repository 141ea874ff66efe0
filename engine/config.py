"""What an engine is told when it is built. Knows nothing of `.env`: whoever builds the engine fills this in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ComputePath = Literal["fast", "eager", "reference"]


@dataclass(slots=True, frozen=True)
class EngineConfig:
    """How an engine computes and how much it takes on.

    `dtype_path` "reference" computes in float32 on the weights as the file has them; "eager" with PyTorch's kernels on
    8-bit integers where the processor multiplies those quickly (see `layers/integer_linear.py`), else in float32, and
    on a GPU in bfloat16; "fast" with our own compiled kernels on a processor where they are built, else as "eager".
    `threads` 0 is one a core. `max_tokens_per_step` is how much a step computes at most, and while answers stream,
    `max_prefill_while_decoding` is how much of that may be prompt: it bounds how long they pause. `context_length`
    makes the model's own shorter; without it, contexts past 16,384 or `kv_tokens` are cut to that. `kv_tokens` is how
    many tokens all sequences together may keep; what does not fit is computed again later. `kv_dtype` is how their keys
    and values are kept: "auto" is float32 on the reference path and bfloat16 elsewhere; "int8" takes half of that, with
    a scale for each token and head. `tokenizer_path` is a `tokenizer.json` whose rules replace those of the model's
    file. `speculation` guesses ahead where a text repeats itself: answers stay the same.
    """

    dtype_path: ComputePath = "fast"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: int = 0
    max_batch_size: int = 16
    max_queue_size: int = 256
    max_tokens_per_step: int = 256
    max_prefill_while_decoding: int = 32
    context_length: int | None = None
    kv_tokens: int | None = None
    kv_dtype: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    tokenizer_path: Path | None = None
    speculation: bool = True
