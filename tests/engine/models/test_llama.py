"""A step on a device is one copy there; nothing in it waits for the device or asks what the numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.kv_cache import KVType
from engine.layers.embedding import DenseEmbedding, StoredEmbedding
from engine.layers.layout import lay_out
from engine.layers.linear import TiledLinear
from engine.loader.dequantize import dequantize
from engine.loader.gguf import GGUFFile
from engine.loader.weights import Weights
from engine.models import MODELS
from engine.models.config import LlamaConfig
from engine.models.llama import Llama, Numerics
from engine.step import Span, StepInput
from tests.tiny_model import VOCABULARY, write_tiny_model

CPU, META = torch.device("cpu"), torch.device("meta")
WAITING = {"_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "unique2", "masked_select"}
MIXED = StepInput(
    list(range(60)),
    [Span(40, 1, [7, 3, 5]), Span(0, 50, [0, 1, 2, 4]), Span(300, 5, list(range(10, 30))), Span(16, 4, [31, 32])],
    [0, 50, 55, 56, 57, 59],
)


class Traffic(TorchDispatchMode):
    """Counts the copies between devices and names the operations that would wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[str] = []
        self.waits: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        devices = [
            leaf.device.type for leaf in tree_leaves((args, result)) if isinstance(leaf, torch.Tensor) and leaf.dim()
        ]
        if len(set(devices)) > 1:
            self.copies.append(" to ".join(devices))
        indices = [leaf for leaf in tree_leaves(args[1:]) if isinstance(leaf, torch.Tensor)]
        if name in WAITING or (name.startswith("index") and any(index.dtype == torch.bool for index in indices)):
            self.waits.append(name)
        return result


def load(path: Path, device: torch.device, dtype: torch.dtype, kv_type: KVType = "bfloat16") -> Llama:
    def make_linear(weight: torch.Tensor, bias: torch.Tensor | None) -> TiledLinear:
        return TiledLinear(weight.to(device, dtype), None if bias is None else bias.to(device, dtype))

    with GGUFFile.open(path) as file, torch.inference_mode():
        config = LlamaConfig.from_gguf(file)
        weights = MODELS[file.architecture](config, Weights(file))
        return Llama(config, weights, Numerics(make_linear, dtype, kv_type, device))


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("kv_type", ["bfloat16", "int8"])
def test_a_step_is_sent_in_one_copy_and_nothing_waits_for_the_device(
    tmp_path: Path, architecture: str, kv_type: KVType
) -> None:
    """On a device that has shapes but no numbers, where asking for one is an error."""
    model = load(write_tiny_model(tmp_path / "m.gguf", architecture=architecture), META, torch.bfloat16, kv_type)
    cache = model.make_cache(40)
    with torch.inference_mode(), Traffic() as traffic:
        logits = model.forward(MIXED, cache)
    assert (logits.device, logits.dtype, logits.shape) == (META, torch.float32, (6, VOCABULARY))
    assert traffic.copies == ["cpu to meta"]
    assert traffic.waits == []


def test_the_count_of_copies_and_waits_sees_them() -> None:
    with Traffic() as traffic:
        x = torch.arange(4)
        x.to(META)
        x[x > 1].sum().item()
    assert traffic.copies == ["cpu to meta"]
    assert traffic.waits == ["index", "_local_scalar_dense"]


def test_an_embedding_that_is_the_head_too_lies_on_the_device_once(tmp_path: Path) -> None:
    model = load(write_tiny_model(tmp_path / "m.gguf"), META, torch.bfloat16)
    assert isinstance(model._head, TiledLinear)
    assert model._embedding._matrix is model._head.weight


def test_the_bfloat16_form_of_a_gpu_computes_nearly_what_the_reference_does(tiny_model: Path) -> None:
    rows = []
    for dtype, kv_type in ((torch.float32, "float32"), (torch.bfloat16, "bfloat16")):
        model = load(tiny_model, CPU, dtype, kv_type)
        cache = model.make_cache(40)
        with torch.inference_mode():
            for span in MIXED.spans:  # what the spans see was computed before
                if span.start:
                    model.forward(StepInput([7] * span.start, [Span(0, span.start, span.blocks)], []), cache)
            rows.append(model.forward(MIXED, cache))
    assert (rows[0] - rows[1]).abs().max() < 0.05 * rows[0].abs().max()


def test_a_dense_embedding_looks_up_what_a_stored_one_does(tiny_model: Path) -> None:
    layout = lay_out(MIXED, group=2, device=CPU)
    with GGUFFile.open(tiny_model) as file:
        tensor = file.tensors["token_embd.weight"]
        stored, dense = StoredEmbedding(tensor, torch.float32), DenseEmbedding(dequantize(tensor))
    assert torch.equal(stored(layout), dense(layout))
