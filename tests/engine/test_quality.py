"""How much of the model's quality the fast path keeps, on a text of a thousand tokens that it is told one by one."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from engine.kernels.interface import NativeLibrary
from engine.kv_cache import KVType
from engine.llm_engine import LLMEngine
from engine.loader.gguf import GGUFFile
from engine.loader.weights import Weights
from engine.models import MODELS
from engine.models.base import Model
from engine.models.config import LlamaConfig
from engine.models.native import NativeLlama
from engine.step import Span, StepInput, blocks_for
from tests.engine.conftest import EMBEDDED
from tests.engine.data.make_greedy_answers import load_reference
from tests.engine.data.make_text_scores import OUTPUT, TEXT, log_probabilities

SCORES = json.loads(OUTPUT.read_text(encoding="utf-8"))
IDS, LIKELIEST, LEAD = SCORES["ids"], SCORES["likeliest"], SCORES["lead"]
EXPECTED = torch.tensor(SCORES["log_probabilities"])
AT_ONCE = 256
# What a cache of 8 bits costs: more of the choices that were close.
AGREEMENT: dict[KVType, float] = {"float32": 0.998, "bfloat16": 0.99, "int8": 0.97}
NEAR_TIE: dict[KVType, float] = {"float32": 0.01, "bfloat16": 0.1, "int8": 0.5}  # between logits


@dataclass(slots=True, frozen=True, eq=False)
class Scores:
    """What a path thinks of the text, beside what the reference thinks of it."""

    logits: Tensor  # [tokens, vocabulary]

    @property
    def perplexity_ratio(self) -> float:
        return math.exp(float((EXPECTED - log_probabilities(self.logits, IDS)).mean()))

    @property
    def disagreements(self) -> list[int]:
        """Where another token is the likeliest."""
        return [place for place, token in enumerate(self.logits.argmax(1).tolist()) if token != LIKELIEST[place]]

    def assert_close(self, kv_type: KVType) -> None:
        assert abs(self.perplexity_ratio - 1) < 0.01, "the perplexity is another"
        assert len(self.disagreements) <= (1 - AGREEMENT[kv_type]) * len(IDS), f"they differ at {self.disagreements}"
        for place in self.disagreements:
            row = self.logits[place]
            assert LEAD[place] < NEAR_TIE[kv_type], f"to the reference, token {place} was no near-tie"
            assert row.max() - row[LIKELIEST[place]] < NEAR_TIE[kv_type], f"token {place} is no near-tie"


@torch.inference_mode()
def read(model: Model) -> Scores:
    """The text in chunks, as the engine reads a prompt."""
    blocks = range(blocks_for(len(IDS)))
    cache, rows = model.make_cache(len(blocks)), []
    for start in range(0, len(IDS), AT_ONCE):
        ids = IDS[start : start + AT_ONCE]
        rows.append(model.forward(StepInput(ids, [Span(start, len(ids), blocks)], list(range(len(ids)))), cache))
    return Scores(torch.cat(rows))


def test_the_scores_are_of_the_text_as_it_is(embedded_engine: LLMEngine) -> None:
    assert embedded_engine.tokenizer.encode(TEXT.read_text(encoding="utf-8")) == IDS
    assert len(LIKELIEST) == len(LEAD) == len(EXPECTED) + 1 == len(IDS) > 1000


def test_the_path_used_for_speed_is_as_good_as_the_reference(embedded_engine: LLMEngine) -> None:
    read(embedded_engine._runner._model).assert_close("bfloat16")


@pytest.mark.parametrize("kv_type", ["float32", "int8"])
def test_other_caches_keep_the_perplexity(opened: NativeLibrary, kv_type: KVType) -> None:
    with GGUFFile.open(EMBEDDED) as file, torch.inference_mode():
        config = LlamaConfig.from_gguf(file)
        model = NativeLlama(config, MODELS["llama"](config, Weights(file)), opened, threads=1, kv_type=kv_type)
    read(model).assert_close(kv_type)


@pytest.mark.oracle
def test_transformers_thinks_so_too() -> None:
    """Of the first tokens."""
    count = 120
    with torch.inference_mode():
        logits = load_reference(EMBEDDED)(input_ids=torch.tensor([IDS[:count]])).logits[0]
    assert logits.argmax(1).tolist() == LIKELIEST[:count]
    assert (log_probabilities(logits, IDS[:count]) - EXPECTED[: count - 1]).abs().max() < 1e-3
