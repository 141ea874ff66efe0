"""What a model needs is counted before it is loaded, and what does not fit is said in numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.errors import ModelLoadError
from engine.layers.integer_linear import IntegerLinear
from engine.loader.gguf import GGUFFile
from engine.loader.weights import Weights
from engine.memory_budget import MemoryBudget, WeightForm, make_budget
from engine.models import MODELS
from engine.models.config import LlamaConfig
from tests.engine.conftest import EMBEDDED
from tests.tiny_model import HIDDEN, VOCABULARY, write_tiny_model

BUDGET = MemoryBudget(weights=3 << 30, working=1 << 30, block=1 << 20)


def weights_of(path: Path, form: WeightForm) -> int:
    with GGUFFile.open(path) as file:
        return make_budget(file, LlamaConfig.from_gguf(file), form, 1, rows=1, logits=1).weights


def test_all_blocks_are_granted_where_they_fit_or_nobody_knows() -> None:
    assert BUDGET.choose_blocks("a.gguf", wanted=1024, least=1024, free=5 << 30) == 1024
    assert BUDGET.choose_blocks("a.gguf", wanted=1024, least=1024, free=None) == 1024


def test_fewer_blocks_are_granted_where_more_do_not_fit() -> None:
    assert BUDGET.choose_blocks("a.gguf", wanted=1024, least=10, free=(4 << 30) + (100 << 20) + 5) == 100


def test_a_refusal_has_every_number_and_what_would_fit() -> None:
    with pytest.raises(ModelLoadError) as caught:
        BUDGET.choose_blocks("a.gguf", wanted=1024, least=1024, free=(4 << 30) + (512 << 20))
    assert str(caught.value) == (
        "a.gguf needs 5.0 GiB of memory, 3.0 GiB for its weights, 1.0 GiB to keep 16,384 tokens and 1.0 GiB to compute,"
        " and 4.5 GiB are free. At most 8,192 tokens fit: ask for a shorter context, take a smaller model, or close"
        " something."
    )


def test_a_refusal_does_not_speak_of_the_context_where_the_weights_alone_are_too_many() -> None:
    with pytest.raises(ModelLoadError, match=r"and 1\.0 GiB are free\. Take a smaller model, or close something\.$"):
        BUDGET.choose_blocks("a.gguf", wanted=1024, least=10, free=1 << 30)


def test_the_weights_of_the_embedded_model_are_counted_as_they_are_kept() -> None:
    """The two planes as they are made, and the embedding's rows as the file has them."""
    with GGUFFile.open(EMBEDDED) as file:
        weights = MODELS["llama"](LlamaConfig.from_gguf(file), Weights(file))
        layer = next(weights.layers)
        first = [IntegerLinear(part.dense()) for part in (layer.qkv, layer.output, layer.gate_up, layer.down)]
        head = IntegerLinear(weights.head.dense())
        embedding = weights.embedding.data.nbytes
    planes = 30 * sum(_plane_bytes(linear) for linear in first) + _plane_bytes(head)
    assert weights_of(EMBEDDED, "planes") == pytest.approx(planes + embedding, rel=0.01)
    assert weights_of(EMBEDDED, "packed") < 120 << 20, "the file itself is of 94 MiB"


def _plane_bytes(linear: IntegerLinear) -> int:
    return linear._high.nbytes + linear._low.nbytes


def test_a_head_of_its_own_counts_and_an_embedding_that_is_only_looked_up_does_not(tmp_path: Path) -> None:
    tied = write_tiny_model(tmp_path / "tied.gguf")
    head = torch.zeros(VOCABULARY, HIDDEN).numpy()
    untied = write_tiny_model(tmp_path / "untied.gguf", **{"output.weight": head})
    assert weights_of(untied, "float32") == weights_of(tied, "float32")
    assert weights_of(untied, "bfloat16") == weights_of(tied, "bfloat16") + 2 * VOCABULARY * HIDDEN
    assert weights_of(untied, "packed") > weights_of(tied, "packed")
