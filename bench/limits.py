"""What this machine can do at most, and so how fast a model can get: `python -m bench.limits [--json]`.

Two things bound a step: every weight is read once from memory, and every weight is multiplied once for each token. So
the reading speed is measured on a buffer far larger than the caches and on one of the model's size (which a large cache
may hold), and the arithmetic on large matrix products of each type, by PyTorch's own kernels. All with two threads, and
the best of many tries: these are limits. What a step does besides (norms, rotations, sampling) counts as free.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

import torch

from bench.make_q4_0 import SOURCE
from bench.servers import THREADS
from engine.loader.gguf import GGUFFile
from engine.models.config import LlamaConfig

LARGE = 1 << 30  # bytes
SECONDS = 0.6  # that each measurement takes
PLANES = 2  # the engine's activations are 16 bits in two planes of 8: two products for each weight
CONTEXT = 96  # tokens that a decoding sequence sees on average in the measurements
KV_BYTES = 2  # of each number kept
KINDS = ("float32", "bfloat16", "int8 in two planes", "int8")


@dataclass(slots=True, frozen=True)
class Limits:
    """Bytes and operations a second; a multiplication with its addition is two operations."""

    read_large: float
    read_model: float
    float32: float
    bfloat16: float
    int8: float

    def operations(self, kind: str) -> float:
        """Useful operations a second when weights and activations are multiplied in that way."""
        planes = {"int8 in two planes": self.int8 / PLANES, "int8": self.int8}
        return planes.get(kind) or float(getattr(self, kind))


@dataclass(slots=True, frozen=True)
class Work:
    """What a model costs."""

    weight_bytes: int
    layer_weights: int  # multiplied for every token
    head_weights: int  # multiplied for every token whose successor is wanted
    kv_bytes: int  # read again for each token seen
    attended: int  # operations for each token seen

    @classmethod
    def of(cls, path: Path) -> Work:
        """Count the matrices of a GGUF file."""
        with GGUFFile.open(path) as file:
            config = LlamaConfig.from_gguf(file)
            sizes = {name: prod(tensor.shape) for name, tensor in file.tensors.items() if len(tensor.shape) == 2}
            weight_bytes = sum(tensor.data.nbytes for tensor in file.tensors.values())
        layers = sum(size for name, size in sizes.items() if name.startswith("blk."))
        width = config.kv_heads * config.head_dim
        return cls(
            weight_bytes,
            layers,
            sizes.get("output.weight", sizes["token_embd.weight"]),
            2 * config.layers * width * KV_BYTES,
            4 * config.layers * config.heads * config.head_dim,
        )

    def decode_rate(self, batch: int, read: float, operations: float) -> float:
        """Tokens a second in sum at most, where `read` bytes and `operations` a second are possible."""
        multiplied = 2 * (self.layer_weights + self.head_weights) * batch
        seconds = max(self.weight_bytes / read, multiplied / operations)
        return batch / (seconds + batch * CONTEXT * (self.kv_bytes / read))

    def prefill_rate(self, tokens: int, operations: float) -> float:
        """Tokens a second at most for a prompt."""
        attended = self.attended * tokens * (tokens + 1) / 2
        return tokens * operations / (2 * (self.layer_weights * tokens + self.head_weights) + attended)


def ceilings(limits: Limits, work: Work) -> dict[str, dict[str, float]]:
    """For each measure, the ceiling by each kind of arithmetic; tokens a second."""
    found: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        operations = limits.operations(kind)
        for batch in (1, 16):
            rate = work.decode_rate(batch, limits.read_model, operations)
            found.setdefault(f"decode {batch}, tok/s", {})[kind] = rate
        found.setdefault("prefill 512, tok/s", {})[kind] = work.prefill_rate(512, operations)
    return found


def measure(work: Work) -> Limits:
    """Measure this machine."""
    torch.set_num_threads(THREADS)
    return Limits(
        read_large=_read(LARGE),
        read_model=_read(work.weight_bytes),
        float32=_multiply(torch.float32),
        bfloat16=_multiply(torch.bfloat16),
        int8=_multiply(torch.int8),
    )


def _read(size: int) -> float:
    """Bytes a second."""
    matrix = torch.ones(size // 4 // 1024, 1024)
    vector = torch.ones(1024)
    ways: tuple[Callable[[], object], ...] = (matrix.sum, matrix.amax, lambda: torch.mv(matrix, vector))
    return matrix.nbytes / min(map(_fastest, ways))


def _multiply(dtype: torch.dtype) -> float:
    """Operations a second."""
    rows, inner, columns = 512, 2048, 2048
    if dtype == torch.int8:
        left = torch.randint(-100, 100, (rows, inner), dtype=dtype)
        right = torch.randint(-100, 100, (columns, inner), dtype=dtype).t()
        seconds = _fastest(lambda: torch._int_mm(left, right))
    else:
        weights = torch.randn(columns, inner).to(dtype)
        activations = torch.randn(rows, inner).to(dtype)
        seconds = _fastest(lambda: torch.nn.functional.linear(activations, weights))
    return 2 * rows * inner * columns / seconds


def _fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of many tries."""
    best, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def table(reached: Mapping[str, float], limits: Mapping[str, Mapping[str, float]]) -> str:
    """A line a measure: what was reached, and its share of each ceiling."""
    lines = []
    for measure, by_kind in limits.items():
        shares = [f"{kind}: {ceiling:,.0f}" for kind, ceiling in by_kind.items()]
        if measure in reached:
            shares = [
                f"{share} ({reached[measure] / ceiling:.0%})"
                for share, ceiling in zip(shares, by_kind.values(), strict=True)
            ]
            shares.insert(0, f"reached {reached[measure]:,.0f}")
        lines.append(f"{measure:20} {' · '.join(shares)}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=SOURCE)
    parser.add_argument("--json", action="store_true", help="print JSON on one line")
    options = parser.parse_args()
    work = Work.of(options.model)
    with torch.inference_mode():
        limits = measure(work)
    if options.json:
        print(json.dumps({"limits": asdict(limits), "work": asdict(work), "ceilings": ceilings(limits, work)}))
        return
    for name, value in asdict(limits).items():
        print(f"{name:20} {value / 1e9:8.1f} {'GB/s' if name.startswith('read') else 'Gop/s'}")
    print(table({}, ceilings(limits, work)))


if __name__ == "__main__":
    main()
