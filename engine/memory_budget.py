"""Whether a model fits in memory before it is loaded: its weights, the keys and values it keeps, and room to compute.

Knows what each way of computing makes of the weights in a file. Takes no memory itself.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from engine.device import GIB
from engine.errors import ModelLoadError
from engine.loader.gguf import GGUFFile, GGUFTensor
from engine.loader.quantized import packed_width
from engine.models.config import LlamaConfig
from engine.step import BLOCK

log = logging.getLogger(__name__)
LEAST_TOKENS = 2_048  # a cache that nobody asked to be small is not made smaller than this
_RESERVE = 128 << 20  # bytes for the interpreter and everybody else
_SCORES = 96 << 20  # bytes that attention takes at most, a few times over
_FLOAT = 4  # bytes

# How a linear layer's weights are kept: floating-point numbers, those of 16 bits on a GPU alone; the two planes of
# `integer_linear.py`; or the file's own integers as the compiled kernels pack them.
WeightForm = Literal["float32", "bfloat16", "planes", "packed"]
_BYTES_PER_WEIGHT: dict[WeightForm, int] = {"float32": 4, "bfloat16": 2, "planes": 2}


@dataclass(slots=True, frozen=True)
class MemoryBudget:
    """Bytes: what is needed whatever the cache holds, and what a block of the cache takes on top of that."""

    weights: int
    working: int
    block: int

    def needed(self, blocks: int) -> int:
        return self.weights + self.working + blocks * self.block

    def fitting(self, free: int) -> int:
        """How many blocks fit into `free` bytes; negative if not even the rest does."""
        return (free - self.needed(0)) // self.block

    def choose_blocks(self, name: str, wanted: int, least: int, free: int | None) -> int:
        """`wanted` blocks; fewer, but at least `least`, where more do not fit. `free` None: nobody knows what fits.

        Raises ModelLoadError with a sentence that has all the numbers if nothing fits.
        """
        if free is None or self.needed(wanted) <= free:
            return wanted
        fitting = self.fitting(free)
        if fitting < least:
            raise ModelLoadError(self._refusal(name, least, free))
        log.warning(
            "%s may keep %s tokens instead of %s: more do not fit in the %.1f GiB that are free",
            name,
            f"{fitting * BLOCK:,}",
            f"{wanted * BLOCK:,}",
            free / GIB,
        )
        return fitting

    def _refusal(self, name: str, blocks: int, free: int) -> str:
        fitting = self.fitting(free)
        advice = f"At most {fitting * BLOCK:,} tokens fit: ask for a shorter context, t" if fitting > 0 else "T"
        return (
            f"{name} needs {_gib(self.needed(blocks))} of memory, {_gib(self.weights)} for its weights,"
            f" {_gib(blocks * self.block)} to keep {blocks * BLOCK:,} tokens and {_gib(self.working)} to compute,"
            f" and {_gib(free)} are free. {advice}ake a smaller model, or close something."
        )


def make_budget(
    file: GGUFFile, model: LlamaConfig, form: WeightForm, block_bytes: int, *, rows: int, logits: int
) -> MemoryBudget:
    """`rows` are the tokens of a step at most, `logits` those of them whose logits are wanted."""
    return MemoryBudget(_weight_bytes(file, form), _working_bytes(model, rows, logits), block_bytes)


def _weight_bytes(file: GGUFFile, form: WeightForm) -> int:
    """Every tensor in its form. On a processor PyTorch's layers look up the embedding as the file has it."""
    tensors = dict(file.tensors)
    if form == "packed":
        return sum(int(_elements(tensor) * packed_width(tensor.type)) for tensor in tensors.values())
    looked_up = 0
    if form != "bfloat16":
        looked_up = tensors["token_embd.weight"].data.nbytes
        if "output.weight" in tensors:  # then no linear layer is made of the embedding
            del tensors["token_embd.weight"]
    return looked_up + sum(_elements(tensor) for tensor in tensors.values()) * _BYTES_PER_WEIGHT[form]


def _elements(tensor: GGUFTensor) -> int:
    return tensor.data.nbytes // tensor.type.block_bytes * tensor.type.block_size


def _working_bytes(model: LlamaConfig, rows: int, logits: int) -> int:
    """What a step holds at once: some rows of every width, in two forms while they are converted."""
    attended = model.heads * model.head_dim
    widths = 2 * model.hidden + 3 * attended + 3 * model.feed_forward
    return 2 * _FLOAT * (rows * widths + logits * model.vocabulary) + _SCORES + _RESERVE


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
