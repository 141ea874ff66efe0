"""The models of an OpenAI-compatible server, and what its list tells of them and of the server. Does no I/O.

OpenAI's own list has names alone. vLLM and SGLang add `max_model_len`, llama.cpp's server `meta`, others words of
their own; `owned_by` often tells which program answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backends.base import ModelInfo
from backends.fields import JsonObject, object_at, objects_at, positive, text_at

# What makes the server go on with a message of the assistant's that comes last, where it can.
_CONTINUING: Mapping[str, Mapping[str, object]] = {
    "vllm": {"add_generation_prompt": False, "continue_final_message": True},
    "sglang": {"continue_final_message": True},
    "llamacpp": {"chat_template_kwargs": {"enable_thinking": False}},  # else it refuses, as the answer has begun
}
_FULL_PATH = re.compile(r"(?:[/~.]|[A-Za-z]:\\).*|models/.*|.*\.gguf", re.DOTALL)
_WORDLESS = re.compile(  # models of other kinds, which OpenAI and others list beside those that answer
    r"embed|whisper|transcribe|moderation|dall-e|\btts\b|-image\b|image-\d|\bsora\b|rerank|realtime|-audio\b"
)


@dataclass(slots=True, frozen=True)
class Facts:
    """What is known of a model. `identity` is the name to ask it by, `owner` who the server says has it."""

    identity: str
    owner: str = ""
    context_length: int | None = None
    size: int | None = None  # bytes
    quantization: str | None = None

    @property
    def continuing(self) -> Mapping[str, object] | None:
        """The fields that let an answer be gone on with; None where it cannot be."""
        return _CONTINUING.get(self.owner)

    @property
    def takes_null_as_no_limit(self) -> bool:
        """Whether a raw prompt's answer is as long as there is room when `max_tokens` is null, and not 16 tokens."""
        return self.owner in ("vllm", "sglang", "llamacpp")

    @property
    def samples_further(self) -> bool:
        """Whether the server surely knows `top_k` and `min_p`, of which some have defaults that are not ours."""
        return self.owner in ("vllm", "sglang", "llamacpp", "pytorch")

    @property
    def shapes_prompts(self) -> bool:
        """Whether `response_format` holds for raw prompts as well as for chats."""
        return self.owner in ("vllm", "sglang")

    @property
    def repeat_words(self) -> tuple[str, ...]:
        """The names of the penalty for repeating, the likelier one first."""
        words = ("repetition_penalty", "repeat_penalty")
        return words[::-1] if self.owner in ("llamacpp", "organization_owner", "pytorch") else words


def read_models(answer: object) -> dict[str, Facts]:
    """The models of an answer to `/models` that can be talked to, by the name they are listed by.

    A name that is a file's path is listed without its folders, unless two would be called the same.
    """
    entries = _entries(answer)
    short = [_short(text_at(entry, "id")) for entry in entries]
    listed = {}
    for entry, name in zip(entries, short, strict=True):
        identity = text_at(entry, "id")
        listed[name if short.count(name) == 1 else identity] = _facts(entry)
    return listed


def model_info(name: str, facts: Facts, *, elsewhere: bool, thinks: bool = False) -> ModelInfo:
    """One line of the list. What a model with the capability `cloud` is told leaves the house."""
    own = {"thinking": thinks, "continue": facts.continuing is not None, "cloud": elsewhere}
    return ModelInfo(
        name=name,
        size=facts.size,
        quantization=facts.quantization,
        context_length=facts.context_length,
        capabilities=("completion", *(capability for capability, has in own.items() if has)),
    )


def preferred_first(models: Sequence[ModelInfo], name: str) -> list[ModelInfo]:
    """The same with the model of that name at the head."""
    return sorted(models, key=lambda info: info.name != name)


def _entries(answer: object) -> list[JsonObject]:
    source = {"data": answer} if isinstance(answer, list) else answer
    listed = objects_at(source, "data") if isinstance(source, dict) else []
    by_name = {text_at(entry, "id"): entry for entry in listed if _can_talk(entry)}
    return [entry for name, entry in by_name.items() if name]


def _can_talk(entry: JsonObject) -> bool:
    return text_at(entry, "type") != "embeddings" and not _WORDLESS.search(text_at(entry, "id").lower())


def _short(identity: str) -> str:
    if not _FULL_PATH.fullmatch(identity):
        return identity
    return re.split(r"[/\\]", identity.rstrip("/\\"))[-1] or identity


def _facts(entry: JsonObject) -> Facts:
    meta = object_at(entry, "meta")
    lengths = (
        entry.get("max_model_len"),
        entry.get("context_length"),
        entry.get("context_window"),
        entry.get("max_context_length"),
        meta.get("n_ctx"),
        meta.get("n_ctx_train"),
    )
    return Facts(
        identity=text_at(entry, "id"),
        owner=text_at(entry, "owned_by").lower(),
        context_length=min((length for value in lengths if (length := positive(value))), default=None),
        size=positive(meta.get("size")),
        quantization=text_at(meta, "ftype") or text_at(entry, "quantization") or None,
    )
