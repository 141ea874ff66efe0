"""The models as Ollama's clients read them: what there is, what is in memory, and what is known of one.

What is not known here is empty or 0.
"""

from __future__ import annotations

import hashlib

from server.hub import Hub
from server.ollama.lines import rfc3339
from server.ollama.names import tagged
from server.protocol import ModelEntry

ABSENT = ("unreachable", "failed")
WORDS = ("completion", "tools", "insert", "vision", "embedding", "thinking")  # for what a model can do
FOR_EVER = "2318-01-01T00:00:00Z"  # clients show a time that far ahead as such
ARCHITECTURE = "unknown"  # but something has to stand before `.context_length`

Line = dict[str, object]


def tags(hub: Hub, since: float) -> Line:
    """All models that can be asked. When one was made is not known: `since` stands for all of them."""
    usable = (entry for entry in hub.models().models if entry.state not in ABSENT)
    return {"models": [{**_line(hub, entry), "modified_at": rfc3339(since)} for entry in usable]}


def in_memory(hub: Hub) -> Line:
    """The models that answer at once, and until when that is so."""
    ready = (entry for entry in hub.models().models if entry.state == "ready" and "cloud" not in entry.capabilities)
    return {"models": [{**_line(hub, entry), **_stay(hub, entry)} for entry in ready]}


def shown(hub: Hub, entry: ModelEntry, since: float) -> Line:
    """One model."""
    info = hub.model_info(entry.name)
    family = (info and info.family) or ARCHITECTURE
    facts = {
        "general.architecture": family,
        "general.basename": entry.name.partition("/")[2],
        "general.parameter_count": (info and info.parameters) or 0,  # Ollama's own program breaks where one is missing
        f"{family}.embedding_length": (info and info.embedding_length) or 0,
        f"{family}.context_length": entry.context_length or 0,
    }
    advised = f"temperature                    {entry.temperature:g}" if entry.temperature is not None else ""
    return {
        "license": "",
        "modelfile": f"FROM {tagged(entry.name)}\n",
        "parameters": advised,
        "template": "",
        "system": "",
        "details": _details(hub, entry),
        "model_info": facts,
        "capabilities": _capabilities(entry),
        "modified_at": rfc3339(since),
    }


def digest(name: str, size: int | None = None) -> str:
    """What tells a model from every other one, for as long as it has that name and that size in bytes."""
    return hashlib.sha256(f"{tagged(name)}\0{size or 0}".encode()).hexdigest()


def rounded(parameters: int) -> str:
    """How many parameters, as people say it: `134.52M`."""
    for letter, unit in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if parameters >= unit:
            digits = 0 if parameters % unit == 0 else 1 if letter == "B" else 2
            return f"{parameters / unit:.{digits}f}{letter}"
    return str(parameters)


def _line(hub: Hub, entry: ModelEntry) -> Line:
    return {
        "name": tagged(entry.name),
        "model": tagged(entry.name),
        "size": entry.size or 0,
        "digest": digest(entry.name, entry.size),
        "details": _details(hub, entry),
        "capabilities": _capabilities(entry),
    }


def _stay(hub: Hub, entry: ModelEntry) -> Line:
    ends = hub.residence.ends_at(entry.name)
    stay: Line = {"expires_at": FOR_EVER if ends is None else rfc3339(ends), "size_vram": 0}
    return stay if entry.context_length is None else {**stay, "context_length": entry.context_length}


def _details(hub: Hub, entry: ModelEntry) -> Line:
    info = hub.model_info(entry.name)
    family, parameters = (info.family, info.parameters) if info is not None else (None, None)
    details: Line = {
        "parent_model": "",
        "format": "gguf" if entry.quantization else "",
        "family": family or "",
        "families": [family] if family else None,
        "parameter_size": rounded(parameters) if parameters else "",
        "quantization_level": entry.quantization or "",
    }
    return details if entry.context_length is None else {**details, "context_length": entry.context_length}


def _capabilities(entry: ModelEntry) -> list[str]:
    return [word for word in WORDS if word in entry.capabilities]
