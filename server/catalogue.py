"""The models of all backends as they were last heard of: names, states, and which one answers when none is named.

Reads and decides from memory alone, and so at once; who fills it is another module's matter. A backend that cannot be
reached stays in the list: its models as last known, or, when none were ever known, the one that is expected there, or
else an entry with the backend's own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from backends.base import Backend, BackendError, BackendUnreachable, Health, ModelInfo, ModelNotFound
from server.protocol import ModelEntry, ModelsMessage

USABLE = ("ready", "available")
NO_BACKEND = "Engine not initialized"
PREFERRED = ("ready", "loading", "available")


@dataclass(slots=True, eq=False)
class Shelf:
    """One backend's models as it last told them. `reason` says why it cannot be asked, if so."""

    backend: Backend
    models: Sequence[ModelInfo] = ()
    reason: str | None = None

    def fill(self, models: Sequence[ModelInfo]) -> None:
        """Take the backend's word for it. Raises ValidationError for what cannot be listed; nothing changes then."""
        for info in models:
            _entry(self.backend.name, info)
        self.models, self.reason = tuple(models), None

    def find(self, model: str) -> ModelInfo | None:
        return next((info for info in self.models if info.name == model), None)


class Catalogue:
    """Every backend's models by `backend/name`, in the order the backends are preferred.

    `chosen` is the model a person made current; until somebody does, the best one there is stands in.
    """

    def __init__(self, backends: Sequence[Backend], expected: Mapping[str, str], max_tokens: int = 200) -> None:
        self.max_tokens = max_tokens
        self.shelves = {backend.name: Shelf(backend) for backend in backends}
        self.chosen: str | None = None
        self._expected = expected

    @property
    def current(self) -> str:
        """The full name of the model that answers when none is named; empty while there is none."""
        return self.chosen or self._best()

    def message(self) -> ModelsMessage:
        """The list as the page shows it."""
        entries = [entry for shelf in self.shelves.values() for entry in self._entries(shelf)]
        return ModelsMessage(current=self.current, max_tokens=self.max_tokens, models=entries)

    def health(self) -> Health:
        """Whether any backend can answer; `details` has each one's own state."""
        entries = self.message().models
        ok = any(entry.state in USABLE for entry in entries)
        reasons = [entry.reason for entry in entries if entry.reason]
        reason = None if ok else next(iter(reasons), "No model is ready yet." if self.shelves else NO_BACKEND)
        return Health(ok, reason, {"backends": {name: _state(shelf) for name, shelf in self.shelves.items()}})

    def ready(self) -> Health:
        """Whether an answer would begin now: the current model can answer, or another one is loaded."""
        entries = self.message().models
        current = next((entry for entry in entries if entry.name == self.current), None)
        if any(entry.state == "ready" for entry in entries) or (current and current.state in USABLE):
            return Health(True)
        state = f"The model {current.name} is {current.state}." if current else "No model is ready yet."
        return Health(False, (current and current.reason) or state)

    def find(self, name: str) -> tuple[Backend, ModelInfo] | None:
        """The model of that name: `backend/name`, or a bare name, which is the first backend's that has it."""
        for shelf, model in self.meanings(name):
            if (info := shelf.find(model)) is not None:
                return shelf.backend, info
        return None

    def meanings(self, name: str) -> Iterator[tuple[Shelf, str]]:
        """What a name can mean: one backend's model by its full name, else any backend's by its bare one."""
        prefix, slash, rest = name.partition("/")
        if slash and prefix in self.shelves:
            yield self.shelves[prefix], rest
        for shelf in self.shelves.values():
            yield shelf, name

    def full_name(self, name: str | None) -> str:
        """`backend/name` of a model that is asked for, or of the current one. An unknown name stays as it is."""
        found = self.find(name or self.current)
        return f"{found[0].name}/{found[1].name}" if found else name or self.current

    def missing(self, name: str) -> BackendError:
        """Why there is no model of that name; an empty name stands for the current one."""
        name = name or self.current
        shelf = self.shelves.get(name.partition("/")[0])
        if shelf is not None and shelf.reason:
            return BackendUnreachable(shelf.reason)
        if name:
            return ModelNotFound(f"There is no model {name[:80]} here. Pick one from the list.")
        return BackendUnreachable(f"No model can answer. {self.health().reason}")

    def _best(self) -> str:
        """Of the first backend that can answer, or soon can, the model that is nearest to it; else any at all."""
        lists = [self._entries(shelf) for shelf in self.shelves.values()]
        for entries in lists:
            if (name := _first(entries, PREFERRED)) is not None:
                return name
        return next((entry.name for entries in lists for entry in entries), "")

    def _entries(self, shelf: Shelf) -> list[ModelEntry]:
        name = shelf.backend.name
        if shelf.reason is None:
            return [_entry(name, info) for info in shelf.models]
        known = shelf.models or (ModelInfo(self._expected.get(name) or name),)
        return [_entry(name, info, unreachable=shelf.reason) for info in known]


def _first(entries: Sequence[ModelEntry], states: Iterable[str]) -> str | None:
    return next((entry.name for state in states for entry in entries if entry.state == state), None)


def _state(shelf: Shelf) -> dict[str, bool | str]:
    if shelf.reason is not None:
        return {"ok": False, "reason": shelf.reason}
    return {"ok": any(info.state in USABLE for info in shelf.models)}


def _entry(backend: str, info: ModelInfo, unreachable: str | None = None) -> ModelEntry:
    return ModelEntry(
        name=f"{backend}/{info.name}",
        backend=backend,
        kind=info.kind,
        state="unreachable" if unreachable else info.state,
        reason=unreachable or info.reason,
        progress=info.progress,
        size=info.size,
        quantization=info.quantization,
        context_length=info.context_length,
        temperature=info.temperature,
        capabilities=list(info.capabilities),
    )
