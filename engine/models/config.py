"""The dimensions of a model of the Llama family, read from the metadata of its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import ModelLoadError
from engine.kv_cache import KVShape
from engine.loader.gguf import GGUFFile, MetaValue


@dataclass(slots=True, frozen=True)
class LlamaConfig:
    """What a file says about its model. The names are those of the papers; sizes are in numbers, not bytes."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    rotated: int  # dimensions of a head that rotary embedding turns
    context_length: int
    vocabulary: int
    eps: float
    rope_base: float
    rope_scale: float

    @property
    def group(self) -> int:
        """Query heads that share a key head."""
        return self.heads // self.kv_heads

    @property
    def kv_shape(self) -> KVShape:
        return KVShape(self.layers, self.kv_heads, self.head_dim)

    @classmethod
    def from_gguf(cls, file: GGUFFile) -> LlamaConfig:
        """Raises ModelLoadError for what is missing, out of range or not computed here."""
        fields = _Fields(file.metadata, file.architecture)
        heads = fields.integer("attention.head_count")
        hidden = fields.integer("embedding_length")
        head_dim = fields.integer("attention.key_length", hidden // heads)
        config = cls(
            layers=fields.integer("block_count"),
            hidden=hidden,
            feed_forward=fields.integer("feed_forward_length"),
            heads=heads,
            kv_heads=fields.integer("attention.head_count_kv", heads),
            head_dim=head_dim,
            rotated=fields.integer("rope.dimension_count", head_dim),
            context_length=fields.integer("context_length"),
            vocabulary=_vocabulary(file),
            eps=fields.number("attention.layer_norm_rms_epsilon", 1e-5),
            rope_base=fields.number("rope.freq_base", 10_000.0),
            rope_scale=_rope_scale(fields),
        )
        config._check(fields)
        return config

    def _check(self, fields: _Fields) -> None:
        if self.heads % self.kv_heads:
            raise ModelLoadError(f"{self.heads} query heads cannot share {self.kv_heads} key heads.")
        if self.rotated % 2 or self.rotated > self.head_dim:
            raise ModelLoadError(f"{self.rotated} dimensions of a head of {self.head_dim} cannot be rotated.")
        if fields.integer("attention.value_length", self.head_dim) != self.head_dim:
            raise ModelLoadError("The model's keys and values have different lengths, which is not computed here.")
        if fields.present("expert_count"):
            raise ModelLoadError("The model is a mixture of experts, which is not computed here.")


class _Fields:
    """Metadata of one architecture, checked as it is read."""

    _LARGEST = 1 << 24

    def __init__(self, metadata: Mapping[str, MetaValue], architecture: str) -> None:
        self._metadata = metadata
        self._architecture = architecture

    def present(self, name: str) -> bool:
        return bool(self._metadata.get(f"{self._architecture}.{name}"))

    def integer(self, name: str, default: int | None = None) -> int:
        value = self._get(name, default)
        if not isinstance(value, int) or not 0 < value <= self._LARGEST:
            raise ModelLoadError(f"The model's {self._architecture}.{name} is {value!r:.40}, which cannot be.")
        return value

    def number(self, name: str, default: float) -> float:
        value = self._get(name, default)
        if not isinstance(value, int | float) or not 0 < value < 1e12:
            raise ModelLoadError(f"The model's {self._architecture}.{name} is {value!r:.40}, which cannot be.")
        return float(value)

    def text(self, name: str, default: str) -> str:
        return str(self._get(name, default))

    def _get(self, name: str, default: MetaValue | None) -> MetaValue:
        value = self._metadata.get(f"{self._architecture}.{name}", default)
        if value is None:
            raise ModelLoadError(f"The model's file lacks {self._architecture}.{name}.")
        return value


def _vocabulary(file: GGUFFile) -> int:
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ModelLoadError("The model's file lacks the tensor token_embd.weight.")
    return embedding.shape[0]


def _rope_scale(fields: _Fields) -> float:
    kind = fields.text("rope.scaling.type", "linear")
    if kind == "none":
        return 1.0
    if kind != "linear":
        raise ModelLoadError(f"The model scales its positions by {kind:.40}; only linear scaling is computed here.")
    return fields.number("rope.scaling.factor", fields.number("rope.scale_linear", 1.0))
