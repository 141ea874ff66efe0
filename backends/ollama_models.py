"""Ollama's models: their names, and what its lists say of them. Does no I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from backends.base import Loading, ModelInfo

JsonObject = Mapping[str, object]

_NAME = re.compile(r"(?:[\w.-]+(?::\d+)?/)?(?:[\w.-]+/)*[\w.-]+(?::[\w.-]+)?", re.ASCII)
_STATUS = {
    "pulling manifest": "Looking the model up",
    "verifying sha256 digest": "Checking the download",
    "writing manifest": "Finishing the download",
    "removing any unused layers": "Finishing the download",
    "removing unused layers": "Finishing the download",
}


@dataclass(slots=True, frozen=True)
class Facts:
    """What `/api/show` tells of a model. `capabilities` None: the server is older than the word."""

    capabilities: tuple[str, ...] | None = None
    context_length: int | None = None  # what the model was trained for
    num_ctx: int | None = None  # what its maker set
    remote: bool = False  # answered by Ollama's cloud, not by the server's machine

    def can(self, capability: str) -> bool | None:
        """None: there is no telling."""
        return None if self.capabilities is None else capability in self.capabilities


def canonical(name: str) -> str:
    """The same text for all names of one model: `SmolLM2` and `smollm2:latest` are the same."""
    lowered = name.lower()
    return lowered if ":" in lowered.rpartition("/")[2] else f"{lowered}:latest"


def is_model_name(name: str) -> bool:
    """Whether Ollama could know a model by that name: `[host/][namespace/]model[:tag]`."""
    return len(name) <= 256 and _NAME.fullmatch(name) is not None and ".." not in name


def entries(answer: object) -> list[dict[str, object]]:
    """The models of an answer to `/api/tags` or `/api/ps` that have a name."""
    models = answer.get("models") if isinstance(answer, dict) else None
    listed = models if isinstance(models, list) else []
    return [entry for entry in listed if isinstance(entry, dict) and entry_name(entry)]


def entry_name(entry: JsonObject) -> str:
    """The model's name, or an empty one."""
    name = entry.get("name") or entry.get("model")
    return name if isinstance(name, str) else ""


def facts_of_entry(entry: JsonObject) -> Facts | None:
    """The facts a newer server puts into its list itself; None: it has to be asked for them."""
    remote = bool(entry.get("remote_host") or entry.get("remote_model"))
    capabilities = _strings(entry.get("capabilities"))
    if capabilities is None and not remote:
        return None
    return Facts(capabilities, _positive(_details(entry).get("context_length")), remote=remote)


def facts_of_show(answer: object) -> Facts:
    """What an answer to `/api/show` tells."""
    shown = answer if isinstance(answer, dict) else {}
    info = shown.get("model_info")
    info = info if isinstance(info, dict) else {}
    return Facts(
        capabilities=_strings(shown.get("capabilities")),
        context_length=_positive(info.get(f"{info.get('general.architecture')}.context_length")),
        num_ctx=_num_ctx(shown.get("parameters")),
        remote=bool(shown.get("remote_host") or shown.get("remote_model")),
    )


def model_info(entry: JsonObject, facts: Facts, running: JsonObject | None, num_ctx: int | None) -> ModelInfo:
    """One line of the list. A model of the cloud has the capability `cloud`: what it is told leaves the house.

    `running` is the model's entry among those in memory, `num_ctx` the context that requests ask for.
    """
    capabilities = facts.capabilities if facts.capabilities is not None else ("completion",)
    quantization = _details(entry).get("quantization_level")
    return ModelInfo(
        name=entry_name(entry),
        state="ready" if running is not None or facts.remote else "available",
        size=None if facts.remote else _positive(entry.get("size")),
        quantization=quantization if isinstance(quantization, str) and quantization else None,
        context_length=_context_in_force(facts, running, num_ctx),
        capabilities=(*capabilities, "cloud") if facts.remote else capabilities,
    )


def _context_in_force(facts: Facts, running: JsonObject | None, num_ctx: int | None) -> int | None:
    """How much the model reads: a server may give it less room than it was trained for, and cuts what does not fit."""
    given = num_ctx or _positive((running or {}).get("context_length")) or facts.num_ctx
    known = [length for length in (given, facts.context_length) if length]
    return min(known, default=None)


class PullProgress:
    """Folds the lines of a download into `Loading`: the sum over its layers, of those known so far.

    Layers come one after another and a part may be fetched twice; neither `done` nor its share of `total` ever falls.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._layers: dict[str, tuple[int, int]] = {}  # digest -> done, total
        self._done = 0
        self._share = 0.0
        self.succeeded = False

    def feed(self, line: JsonObject) -> Loading:
        status, digest = line.get("status"), line.get("digest")
        self.succeeded = self.succeeded or status == "success"
        if isinstance(digest, str):
            self._layers[digest] = (_positive(line.get("completed")) or 0, _positive(line.get("total")) or 0)
        total = sum(total for _, total in self._layers.values())
        fetched = sum(done for done, _ in self._layers.values())
        self._done = min(total, max(fetched, self._done, math.ceil(self._share * total)))
        self._share = max(self._share, self._done / total) if total else 0.0
        message = _STATUS.get(status, "Downloading") if isinstance(status, str) else "Downloading"
        return Loading(self._model, message, self._done, total)


def entry_digest(entry: JsonObject) -> str:
    """What two names of one model share; where it is missing, the name."""
    digest = entry.get("digest")
    return digest if isinstance(digest, str) and digest else canonical(entry_name(entry))


def _details(entry: JsonObject) -> Mapping[str, object]:
    details = entry.get("details")
    return details if isinstance(details, dict) else {}


def _num_ctx(parameters: object) -> int | None:
    """The context length among the lines of parameters that `/api/show` prints."""
    found = re.search(r"^num_ctx\s+(\d{1,9})\s*$", parameters, re.MULTILINE) if isinstance(parameters, str) else None
    return _positive(int(found[1])) if found else None


def _strings(value: object) -> tuple[str, ...] | None:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else None


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
