"""A GGUF file's model as the library transformers computes it, on the very weights of the file.

The tensors are dequantized by the `gguf` package, not by ours, and handed over by name; transformers' own reader of
such files does the same, but needs another package and half a minute.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
}


def load_transformers(path: Path, dtype: torch.dtype = torch.float32, attention: str = "sdpa") -> Any:
    """The Llama model in the file, whose output layer is its embedding. `attention` as transformers names it."""
    reader = gguf.GGUFReader(path)

    def field(name: str, default: float | None = None) -> Any:
        found = reader.fields.get(f"llama.{name}")
        assert found is not None or default is not None, f"{path.name} does not say llama.{name}."
        return default if found is None else found.contents()

    heads, kv_heads = field("attention.head_count"), field("attention.head_count_kv")
    state = {}
    for tensor in reader.tensors:
        values = np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        if "attn_q." in tensor.name or "attn_k." in tensor.name:
            values = _in_halves(values, heads if "attn_q." in tensor.name else kv_heads)
        state[_name(tensor.name)] = torch.from_numpy(values)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    config = LlamaConfig(
        vocab_size=len(state["lm_head.weight"]),
        hidden_size=field("embedding_length"),
        intermediate_size=field("feed_forward_length"),
        num_hidden_layers=field("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=field("context_length"),
        rms_norm_eps=field("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": field("rope.freq_base", 10_000.0)},
        tie_word_embeddings=True,
        attn_implementation=attention,
    )
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(state)
    return model.to(dtype)


def _in_halves(matrix: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo what llama.cpp's converter did to the rows of Q and K."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _name(name: str) -> str:
    *place, part, kind = name.split(".")
    layer = f"model.layers.{place[1]}." if place else ""
    return f"{layer}{_NAMES[part]}.{kind}"
