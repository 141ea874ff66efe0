"""A random model of the Llama family in a GGUF file: everything of a real one, in a tenth of a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}no thoughts\n{% endif %}"
)
START, END = 256, 257
LAYERS, HIDDEN, HEADS, KV_HEADS, FEED_FORWARD, VOCABULARY = 2, 64, 4, 2, 96, 259
CONTEXT = 1024


def write_tiny_model(path: Path, *, seed: int = 0, architecture: str = "llama", **changes: Any) -> Path:
    """Write the model to `path`. `changes` replace tensors by name (None leaves one out) or metadata by key.

    Tokens 0 to 255 are the bytes in the order of their byte-level characters, so any text can be written and read.
    """
    metadata = {
        "block_count": LAYERS,
        "context_length": CONTEXT,
        "embedding_length": HIDDEN,
        "feed_forward_length": FEED_FORWARD,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "rope.dimension_count": HIDDEN // HEADS,
    }
    tensors = _tensors(np.random.default_rng(seed), architecture)
    for name, value in changes.items():
        (metadata if name in metadata or not name.endswith(("weight", "bias")) else tensors)[name] = value
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        if value is not None:
            _add(writer, f"{architecture}.{key}", value)
    _add(writer, f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5)
    _write_tokenizer(writer)
    for name, values in tensors.items():
        if values is not None:
            _write_tensor(writer, name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(rng: np.random.Generator, architecture: str) -> dict[str, Any]:
    def normal(*shape: int, scale: float) -> np.ndarray:
        return rng.normal(0, scale, shape).astype(np.float32)

    kv_width = HIDDEN // HEADS * KV_HEADS
    tensors: dict[str, Any] = {"token_embd.weight": normal(VOCABULARY, HIDDEN, scale=1)}
    for layer in range(LAYERS):
        prefix = f"blk.{layer}."
        tensors |= {
            prefix + "attn_norm.weight": 1 + normal(HIDDEN, scale=0.1),
            prefix + "attn_q.weight": normal(HIDDEN, HIDDEN, scale=0.2),
            prefix + "attn_k.weight": normal(kv_width, HIDDEN, scale=0.2),
            prefix + "attn_v.weight": normal(kv_width, HIDDEN, scale=0.2),
            prefix + "attn_output.weight": normal(HIDDEN, HIDDEN, scale=0.2),
            prefix + "ffn_norm.weight": 1 + normal(HIDDEN, scale=0.1),
            prefix + "ffn_gate.weight": normal(FEED_FORWARD, HIDDEN, scale=0.2),
            prefix + "ffn_up.weight": normal(FEED_FORWARD, HIDDEN, scale=0.2),
            prefix + "ffn_down.weight": normal(HIDDEN, FEED_FORWARD, scale=0.2),
        }
        if architecture == "qwen2":
            for letter, width in (("q", HIDDEN), ("k", kv_width), ("v", kv_width)):
                tensors[f"{prefix}attn_{letter}.bias"] = normal(width, scale=0.5)
    tensors["output_norm.weight"] = 1 + normal(HIDDEN, scale=0.1)
    return tensors


def _add(writer: gguf.GGUFWriter, key: str, value: object) -> None:
    if isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_uint32(key, value)


def _write_tokenizer(writer: gguf.GGUFWriter) -> None:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    tokens = [chr(code) for code in printable] + [chr(0x100 + place) for place in range(256 - len(printable))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*tokens, "<|im_start|>", "<|im_end|>", "th"])
    writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL])
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(END)
    writer.add_chat_template(TEMPLATE)


def _write_tensor(writer: gguf.GGUFWriter, name: str, values: np.ndarray) -> None:
    """Matrices as Q4_1, the embedding as Q8_0, the rest in float32: as in the embedded model. Halves stay halves."""
    if values.ndim == 1 or values.dtype == np.float16:
        writer.add_tensor(name, values)
        return
    kind = gguf.GGMLQuantizationType.Q8_0 if name == "token_embd.weight" else gguf.GGMLQuantizationType.Q4_1
    writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
