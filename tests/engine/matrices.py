"""Random matrices as files store them."""

from __future__ import annotations

import numpy as np

from engine.loader.dequantize import DEQUANT
from engine.loader.gguf import GGMLType, GGUFTensor

FLOATS = [GGMLType.F32, GGMLType.F16, GGMLType.BF16]
QUANTIZED = [kind for kind in DEQUANT if kind not in FLOATS]
# Where a block's half-precision factors lie. Random bytes there would be infinities and numbers of any size.
FACTORS = {GGMLType.Q4_1: (0, 2), GGMLType.Q5_1: (0, 2), GGMLType.Q4_K: (0, 2), GGMLType.Q5_K: (0, 2)}
FACTORS |= {GGMLType.Q6_K: (208,)}


def random_matrix(kind: GGMLType, rows: int, columns: int = 512, seed: int = 0) -> GGUFTensor:
    """[rows, columns], stored as `kind`."""
    source = np.random.default_rng(seed)
    if kind in FLOATS:
        values = source.normal(0, 0.1, rows * columns).astype(np.float32)
        if kind is GGMLType.F16:
            stored = values.astype(np.float16).view(np.uint8)
        else:
            stored = values.view(np.uint8) if kind is GGMLType.F32 else (values.view(np.uint32) >> 16).astype(np.uint16)
        return GGUFTensor("random", (rows, columns), kind, stored.view(np.uint8))
    blocks = source.integers(0, 256, (rows * columns // kind.block_size, kind.block_bytes), dtype=np.uint8)
    for place in FACTORS.get(kind, (0,)):
        factors = source.normal(0, 0.01, len(blocks)).astype(np.float16)
        blocks[:, place : place + 2] = factors.view(np.uint8).reshape(-1, 2)
    return GGUFTensor("random", (rows, columns), kind, blocks.reshape(-1))
