"""A file becomes a model, or a sentence that says why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from engine import computation
from engine.config import EngineConfig
from engine.errors import ModelLoadError
from engine.llm_engine import LLMEngine
from engine.loader.dequantize import dequantize
from engine.loader.gguf import GGUFFile
from engine.memory_budget import make_budget
from engine.models.config import LlamaConfig
from engine.step import BLOCK
from tests.engine.running import GREEDY, Result, ask, run, watched_logits
from tests.tiny_model import FEED_FORWARD, HEADS, HIDDEN, KV_HEADS, LAYERS, VOCABULARY, write_tiny_model

REFERENCE = EngineConfig(dtype_path="reference", threads=1, device="cpu")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"blk.0.attn_q.weight": None}, "lacks the tensor blk.0.attn_q.weight"),
        ({"output_norm.weight": None}, "lacks the tensor output_norm.weight"),
        ({"token_embd.weight": None}, "lacks the tensor token_embd.weight"),
        ({"blk.1.ffn_down.weight": np.zeros((HIDDEN, 64), np.float32)}, "is [64, 64] and should be [64, 96]"),
        ({"blk.0.attn_norm.weight": np.zeros(32, np.float32)}, "is [32] and should be [64]"),
        ({"block_count": None}, "lacks llama.block_count"),
        ({"block_count": 3}, "lacks the tensor blk.2.attn_norm.weight"),
        ({"block_count": 0}, "llama.block_count is 0"),
        ({"attention.head_count": 2**31}, "llama.attention.head_count is 2147483648"),
        ({"attention.head_count_kv": 3}, "4 query heads cannot share 3 key heads"),
        ({"rope.dimension_count": 18}, "18 dimensions of a head of 16"),
        ({"embedding_length": "many"}, "llama.embedding_length is 'many'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_does_not_fit_together_is_refused(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    path = write_tiny_model(tmp_path / "bad.gguf", **changes)
    with pytest.raises(ModelLoadError) as caught:
        LLMEngine.from_gguf(path, config=REFERENCE)
    assert sentence in str(caught.value)


def test_an_unknown_architecture_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "bird.gguf", architecture="parrot")
    with pytest.raises(ModelLoadError, match=r"is a parrot model\. The engine computes only these: llama, qwen2"):
        LLMEngine.from_gguf(path, config=REFERENCE)


def with_free_memory(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, blocks: int) -> tuple[EngineConfig, Path]:
    """A model whose context is long, and memory for all of it and so many blocks of its cache."""
    path = write_tiny_model(tiny_model.parent / "long.gguf", context_length=1 << 15)
    with GGUFFile.open(path) as file:
        model = LlamaConfig.from_gguf(file)
        block = model.kv_shape.bytes_per_block("float32")
        budget = make_budget(file, model, "float32", block, rows=256, logits=16)
    monkeypatch.setattr(computation, "free_memory", lambda device: budget.needed(blocks))
    return REFERENCE, path


def test_a_cache_that_nobody_asked_for_is_made_as_large_as_memory_allows(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config, path = with_free_memory(tiny_model, monkeypatch, blocks=300)
    engine = LLMEngine.from_gguf(path, config=config)
    assert engine.stats().blocks_free == 300
    assert engine.context_length == 300 * BLOCK
    assert "may keep 4,800 tokens instead of 16,384" in caplog.text


@pytest.mark.parametrize("asked", [{"kv_tokens": 5000}, {"context_length": 5000}], ids=str)
def test_what_was_asked_for_is_refused_with_numbers_if_it_does_not_fit(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, int]
) -> None:
    config, path = with_free_memory(tiny_model, monkeypatch, blocks=300)
    with pytest.raises(ModelLoadError, match=r"to keep 5,008 tokens .* At most 4,800 tokens fit: ask for"):
        LLMEngine.from_gguf(path, config=replace(config, **asked))


def test_a_context_that_was_asked_for_is_kept_while_the_cache_shrinks(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, path = with_free_memory(tiny_model, monkeypatch, blocks=300)
    engine = LLMEngine.from_gguf(path, config=replace(config, context_length=4000))
    assert engine.context_length == 4000
    assert engine.stats().blocks_free == 300


def test_a_model_that_does_not_fit_in_memory_is_refused_with_numbers(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computation, "free_memory", lambda device: 100 << 20)
    with pytest.raises(ModelLoadError, match=r"needs 0\.2 GiB of memory, .* and 0\.1 GiB are free\. Take a smaller"):
        LLMEngine.from_gguf(tiny_model, config=REFERENCE)


def test_a_very_long_context_is_cut_to_what_the_cache_holds(
    tmp_path: Path, make_engine: Callable[..., LLMEngine]
) -> None:
    path = write_tiny_model(tmp_path / "long.gguf", context_length=1 << 24)
    assert make_engine(path).context_length == 16_384
    assert make_engine(path, context_length=20_000).context_length == 20_000


def test_a_cache_that_was_asked_to_be_small_bounds_the_context(
    tmp_path: Path, make_engine: Callable[..., LLMEngine]
) -> None:
    path = write_tiny_model(tmp_path / "long.gguf", context_length=1 << 24)
    engine = make_engine(path, kv_tokens=4096)
    assert engine.context_length == 4096
    assert engine.stats().blocks_free * BLOCK == 4096


def test_progress_goes_up_to_the_whole(tiny_model: Path) -> None:
    seen: list[tuple[int, int]] = []
    LLMEngine.from_gguf(tiny_model, config=REFERENCE, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len({total for _, total in seen}) == 1
    assert seen[-1][0] >= seen[-1][1]


def test_what_progress_raises_ends_the_loading(tiny_model: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        LLMEngine.from_gguf(tiny_model, config=REFERENCE, progress=stop)


def test_a_head_of_its_own_is_used_where_there_is_one(
    tmp_path: Path, tiny_model: Path, make_engine: Callable[..., LLMEngine]
) -> None:
    head = np.random.default_rng(5).normal(0, 1, (VOCABULARY, HIDDEN)).astype(np.float32)
    untied = write_tiny_model(tmp_path / "untied.gguf", **{"output.weight": head})
    assert ask(make_engine(untied), [1, 2, 3]).tokens != ask(make_engine(tiny_model), [1, 2, 3]).tokens


def test_the_fast_path_computes_what_the_reference_path_does(make_engine: Callable[..., LLMEngine]) -> None:
    prompt = list(range(200))
    rows = []
    for path in ("fast", "reference"):
        results: dict[str, Result] = {}
        engine = make_engine(dtype_path=path)
        with watched_logits(engine, results):
            engine.add_request("r", prompt, GREEDY)
            run(engine, results)
        rows.append(results["r"].logits[0])
    assert (rows[0] - rows[1]).abs().max() < 0.02 * rows[1].abs().max()


@pytest.mark.oracle
def test_qwen2_computes_what_transformers_does(tmp_path: Path, make_engine: Callable[..., LLMEngine]) -> None:
    """With its biases, and without the order of rows that llama files have."""
    path = write_tiny_model(tmp_path / "qwen.gguf", architecture="qwen2")
    prompt = list(range(40))
    results: dict[str, Result] = {}
    engine = make_engine(path, dtype_path="reference")
    with watched_logits(engine, results):
        engine.add_request("r", prompt, GREEDY)
        run(engine, results)
    with torch.inference_mode():
        expected = _qwen2(path)(torch.tensor([prompt])).logits[0, -1]
    assert (results["r"].logits[0] - expected).abs().max() < 1e-3


def _qwen2(path: Path) -> Qwen2ForCausalLM:
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=HIDDEN,
            intermediate_size=FEED_FORWARD,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KV_HEADS,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            tie_word_embeddings=True,
        )
    )
    names = {
        "token_embd": "model.embed_tokens",
        "output_norm": "model.norm",
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    with GGUFFile.open(path) as file:
        state = {}
        for name, tensor in file.tensors.items():
            *layer, part, kind = name.split(".")
            prefix = f"model.layers.{layer[1]}." if layer else ""
            state[f"{prefix}{names[part]}.{kind}"] = dequantize(tensor)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model.eval()
