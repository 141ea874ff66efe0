"""One description of a model's weights, read as plain values or as quantized parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.loader.gguf import GGUFFile
from engine.loader.weights import Weights
from engine.models import MODELS
from engine.models.config import LlamaConfig
from engine.models.llama_weights import LayerWeights
from tests.tiny_model import FEED_FORWARD, HEADS, HIDDEN, KV_HEADS, LAYERS, VOCABULARY, write_tiny_model


@pytest.mark.parametrize("architecture", MODELS)
def test_the_quantized_parts_of_every_linear_layer_are_its_values(tmp_path: Path, architecture: str) -> None:
    path = write_tiny_model(tmp_path / "model.gguf", architecture=architecture)
    with GGUFFile.open(path) as file:
        weights = MODELS[architecture](LlamaConfig.from_gguf(file), Weights(file))
        layers = list(weights.layers)
        for linear in (
            weights.head,
            *(part for layer in layers for part in (layer.qkv, layer.output, layer.gate_up, layer.down)),
        ):
            parts = linear.quantized()
            assert parts is not None
            assert torch.equal(parts.values(), linear.dense())
    assert len(layers) == LAYERS
    assert weights.head.dense().shape == (VOCABULARY, HIDDEN)
    assert [tuple(linear.dense().shape) for linear in (layers[0].qkv, layers[0].gate_up)] == [
        (HIDDEN + 2 * KV_HEADS * HIDDEN // HEADS, HIDDEN),
        (2 * FEED_FORWARD, HIDDEN),
    ]


def test_floating_point_rows_among_others_leave_a_layer_without_parts(tmp_path: Path) -> None:
    gate = np.ones((FEED_FORWARD, HIDDEN), np.float16)
    first = _first_layer(write_tiny_model(tmp_path / "model.gguf", **{"blk.0.ffn_gate.weight": gate}))
    assert first.gate_up.quantized() is None
    assert (first.gate_up.dense()[:FEED_FORWARD] == 1).all()
    assert first.down.quantized() is not None


def test_a_bias_of_zeros_is_none_and_another_turns_with_its_rows(tmp_path: Path) -> None:
    name, width = "blk.0.attn_q.bias", HIDDEN // HEADS
    zeros = write_tiny_model(tmp_path / "zeros.gguf", **{name: np.zeros(HIDDEN, np.float32)})
    assert _first_layer(zeros).qkv.bias is None
    counted = write_tiny_model(tmp_path / "counted.gguf", **{name: np.arange(HIDDEN, dtype=np.float32)})
    bias = _first_layer(counted).qkv.bias
    assert bias is not None
    assert bias[:width].tolist() == [*range(0, width, 2), *range(1, width, 2)]
    assert not bias[HIDDEN:].any()


def _first_layer(path: Path) -> LayerWeights:
    with GGUFFile.open(path) as file:
        return next(MODELS["llama"](LlamaConfig.from_gguf(file), Weights(file)).layers)
