"""Ollama's models: their names, and what its lists say of them. Does no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backends.base import ModelInfo
from backends.fields import JsonObject, object_at, objects_at, positive, strings, text_at

# A template that looks at which message is the last one does so to leave that one open when it is the assistant's.
_LEAVES_LAST_OPEN = re.compile(r"\{\{[^}]*\bnot\b[^}]*\$last\b[^}]*\}\}")
_NAME = re.compile(r"(?:[\w.-]+(?::\d+)?/)?(?:[\w.-]+/)*[\w.-]+(?::[\w.-]+)?", re.ASCII)

_PARAMETERS = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)([KMBT]?)", re.ASCII | re.IGNORECASE)
_MULTIPLES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(slots=True, frozen=True)
class Facts:
    """What `/api/show` tells of a model. `capabilities` None: the server is older than the word."""

    capabilities: tuple[str, ...] | None = None
    context_length: int | None = None  # what the model was trained for
    num_ctx: int | None = None  # what its maker set
    remote: bool = False  # answered by Ollama's cloud, not by the server's machine
    continues: bool | None = None  # goes on with an answer that has begun; None: nobody has looked at its template

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


def entries(answer: object) -> list[JsonObject]:
    """The models of an answer to `/api/tags` or `/api/ps` that have a name."""
    listed = objects_at(answer, "models") if isinstance(answer, dict) else []
    return [entry for entry in listed if entry_name(entry)]


def entry_name(entry: JsonObject) -> str:
    """The model's name, or an empty one."""
    name = entry.get("name") or entry.get("model")
    return name if isinstance(name, str) else ""


def entry_digest(entry: JsonObject) -> str:
    """What two names of one model share; where it is missing, the name."""
    digest = entry.get("digest")
    return digest if isinstance(digest, str) and digest else canonical(entry_name(entry))


def facts_of_entry(entry: JsonObject) -> Facts | None:
    """The facts a newer server puts into its list itself; None: it has to be asked for them."""
    capabilities = strings(entry.get("capabilities"))
    if capabilities is None:
        return None
    return Facts(capabilities, positive(object_at(entry, "details").get("context_length")), remote=_is_remote(entry))


def facts_of_show(answer: object) -> Facts:
    """What an answer to `/api/show` tells."""
    shown = answer if isinstance(answer, dict) else {}
    info = object_at(shown, "model_info")
    return Facts(
        capabilities=strings(shown.get("capabilities")),
        context_length=positive(info.get(f"{info.get('general.architecture')}.context_length")),
        num_ctx=_num_ctx(shown.get("parameters")),
        remote=_is_remote(shown),
        continues=_continues(shown),
    )


def model_info(entry: JsonObject, facts: Facts, running: JsonObject | None, num_ctx: int | None) -> ModelInfo:
    """One line of the list. A model of the cloud has the capability `cloud`: what it is told leaves the house.

    `running` is the model's entry among those in memory, `num_ctx` the context that requests ask for.
    """
    remote = facts.remote or _is_remote(entry)
    capabilities = facts.capabilities if facts.capabilities is not None else ("completion",)
    own = {"continue": facts.continues, "cloud": remote}
    details = object_at(entry, "details")
    return ModelInfo(
        name=entry_name(entry),
        state="ready" if running is not None or remote else "available",
        size=None if remote else positive(entry.get("size")),
        quantization=text_at(details, "quantization_level") or None,
        context_length=_context_in_force(facts, running, num_ctx),
        capabilities=(*capabilities, *(name for name, has in own.items() if has)),
        family=text_at(details, "family") or None,
        parameters=_parameters(text_at(details, "parameter_size")),
        embedding_length=positive(details.get("embedding_length")),
    )


def _context_in_force(facts: Facts, running: JsonObject | None, num_ctx: int | None) -> int | None:
    """How much the model reads: a server may give it less room than it was trained for, and cuts what does not fit."""
    given = num_ctx or positive((running or {}).get("context_length")) or facts.num_ctx
    known = [length for length in (given, facts.context_length) if length]
    return min(known, default=None)


def _continues(shown: JsonObject) -> bool:
    """Whether the last message is left open when it is the assistant's, so that the model writes on in it.

    A template without `.Messages` writes one turn, and the server cuts it off after the answer. One with them has to
    see to it itself. What the server renders without a template, and in the cloud, cannot be told from here.
    """
    template, modelfile = shown.get("template"), shown.get("modelfile")
    if not isinstance(template, str) or _is_remote(shown):
        return False
    if ".Messages" in template:
        return _LEAVES_LAST_OPEN.search(template) is not None
    rendered_elsewhere = isinstance(modelfile, str) and re.search(r"^RENDERER\s", modelfile, re.MULTILINE)
    return ".Prompt" in template and not rendered_elsewhere


def _is_remote(entry: JsonObject) -> bool:
    return bool(entry.get("remote_host") or entry.get("remote_model"))


def _parameters(size: str) -> int | None:
    """How many are meant by a text such as `134.52M`."""
    found = _PARAMETERS.fullmatch(size)
    return round(float(found[1]) * _MULTIPLES[found[2].upper()]) if found else None


def _num_ctx(parameters: object) -> int | None:
    """The context length among the lines of parameters that `/api/show` prints."""
    found = re.search(r"^num_ctx\s+(\d{1,9})\s*$", parameters, re.MULTILINE) if isinstance(parameters, str) else None
    return positive(int(found[1])) if found else None
