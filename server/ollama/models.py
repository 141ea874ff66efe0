"""The models as Ollama's clients read them: what there is, what is in memory, and what is known of one.

What is not known here is left empty, as Ollama does it for models that run elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from server.ollama.lines import rfc3339
from server.ollama.names import tagged
from server.protocol import ModelEntry
from server.residence import Residence

ABSENT = ("unreachable", "failed")
WORDS = ("completion", "tools", "insert", "vision", "embedding", "thinking")  # for what a model can do
FOR_EVER = "2318-01-01T00:00:00Z"  # clients show a time that far ahead as such
ARCHITECTURE = "unknown"  # but something has to stand before `.context_length`

Line = dict[str, object]


def tags(entries: Iterable[ModelEntry], since: float) -> Line:
    """All models that can be asked. When one was made is not known: `since` stands for all of them."""
    usable = (entry for entry in entries if entry.state not in ABSENT)
    return {"models": [{**_line(entry), "modified_at": rfc3339(since)} for entry in usable]}


def in_memory(entries: Iterable[ModelEntry], residence: Residence) -> Line:
    """The models that answer at once, and until when that is so."""
    ready = (entry for entry in entries if entry.state == "ready" and "cloud" not in entry.capabilities)
    return {"models": [{**_line(entry), **_stay(entry, residence)} for entry in ready]}


def shown(entry: ModelEntry, since: float) -> Line:
    """One model."""
    info: Line = {"general.architecture": ARCHITECTURE, "general.basename": entry.name.partition("/")[2]}
    if entry.context_length is not None:
        info[f"{ARCHITECTURE}.context_length"] = entry.context_length
    advised = f"temperature                    {entry.temperature:g}" if entry.temperature is not None else ""
    return {
        "license": "",
        "modelfile": f"FROM {tagged(entry.name)}\n",
        "parameters": advised,
        "template": "",
        "system": "",
        "details": _details(entry),
        "model_info": info,
        "capabilities": _capabilities(entry),
        "modified_at": rfc3339(since),
    }


def digest(name: str, size: int | None = None) -> str:
    """What tells a model from every other one, for as long as it has that name and that size in bytes."""
    return hashlib.sha256(f"{tagged(name)}\0{size or 0}".encode()).hexdigest()


def _line(entry: ModelEntry) -> Line:
    return {
        "name": tagged(entry.name),
        "model": tagged(entry.name),
        "size": entry.size or 0,
        "digest": digest(entry.name, entry.size),
        "details": _details(entry),
        "capabilities": _capabilities(entry),
    }


def _stay(entry: ModelEntry, residence: Residence) -> Line:
    ends = residence.ends_at(entry.name)
    stay: Line = {"expires_at": FOR_EVER if ends is None else rfc3339(ends), "size_vram": 0}
    return stay if entry.context_length is None else {**stay, "context_length": entry.context_length}


def _details(entry: ModelEntry) -> Line:
    details: Line = {
        "parent_model": "",
        "format": "gguf" if entry.quantization else "",
        "family": "",
        "families": None,
        "parameter_size": "",
        "quantization_level": entry.quantization or "",
    }
    return details if entry.context_length is None else {**details, "context_length": entry.context_length}


def _capabilities(entry: ModelEntry) -> list[str]:
    return [word for word in WORDS if word in entry.capabilities]
