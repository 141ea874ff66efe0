"""The models of all backends, as they were last heard of, and the one that is current.

Owns names (`backend/name`), the cached lists, the probes behind them and the loading of a model. Everything that reads
answers from the cache at once; only probes and loads wait for a backend. Knows nothing of sessions or sockets: what
changes is told through a callback.

A backend that cannot be reached stays in the list: its models as last known, or, when none were ever known, the one
that is expected there (`expected`), or else an entry that carries the backend's own name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from backends.base import (
    Backend,
    BackendError,
    BackendFailed,
    BackendUnreachable,
    Health,
    Loading,
    ModelInfo,
    ModelNotFound,
    Notice,
)
from server.clock import Clock, Timer
from server.protocol import LoadingMessage, ModelEntry, ModelsMessage

PROBE_EVERY_S = 10.0
PROBE_TIMEOUT_S = 5.0
USABLE = ("ready", "available")

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Shelf:
    """One backend's models as it last told them. `reason` says why it cannot be asked, if so."""

    backend: Backend
    models: tuple[ModelInfo, ...] = ()
    reason: str | None = None
    probe: asyncio.Task[None] | None = field(default=None, repr=False)

    def find(self, model: str) -> ModelInfo | None:
        return next((info for info in self.models if info.name == model), None)


class Models:
    """Every backend's models by name, in the order the backends are preferred."""

    def __init__(
        self,
        backends: Sequence[Backend],
        clock: Clock,
        tell: Callable[[ModelsMessage | LoadingMessage], None],
        expected: Mapping[str, str] | None = None,
    ) -> None:
        self.current = ""
        self.watched = False  # whether somebody looks at the list
        self._shelves = {backend.name: Shelf(backend) for backend in backends}
        self._clock = clock
        self._tell = tell
        self._expected = expected or {}
        self._chosen = False
        self._loading = asyncio.Lock()
        self._timer: Timer | None = None
        self._told = self.message()
        for backend in backends:
            backend.notify = self._listener(backend)

    # Reading

    def message(self) -> ModelsMessage:
        """The list as the page shows it."""
        return ModelsMessage(
            current=self.current, models=[entry for shelf in self._all() for entry in self._list(shelf)]
        )

    def health(self) -> Health:
        """Whether any backend can answer, and each one's state, as last heard."""
        entries = self.message().models
        ok = any(entry.state in USABLE for entry in entries)
        reasons = [entry.reason for entry in entries if entry.reason]
        details = {
            shelf.backend.name: {"ok": any(info.state in USABLE for info in shelf.models) and shelf.reason is None}
            | ({"reason": shelf.reason} if shelf.reason else {})
            for shelf in self._all()
        }
        return Health(ok, None if ok else (reasons[0] if reasons else "No model is ready yet."), {"backends": details})

    def find(self, name: str) -> tuple[Backend, ModelInfo] | None:
        """The model of that name: `backend/name`, or a bare name, which is the first backend's that has it."""
        for shelf, model in self._meanings(name):
            if (info := shelf.find(model)) is not None:
                return shelf.backend, info
        return None

    def full_name(self, name: str | None) -> str:
        """`backend/name` of a model that is asked for; without a name, the current one. An unknown name stays."""
        found = self.find(name or self.current)
        return f"{found[0].name}/{found[1].name}" if found else name or self.current

    async def resolve(self, name: str) -> tuple[Backend, ModelInfo]:
        """Like `find`, after asking the backends once more when the name is not known. Raises a BackendError."""
        if (found := self.find(name or self.current)) is None:
            await self.refresh()
            found = self.find(name or self.current)
        if found is None:
            raise self._missing(name)
        return found

    # Probing

    async def start(self, grace_s: float) -> None:
        """Ask every backend, and give the quick ones time to answer."""
        self.probe()
        probes = [shelf.probe for shelf in self._all() if shelf.probe is not None]
        if probes:
            await asyncio.wait(probes, timeout=grace_s)

    def probe(self) -> None:
        """Ask every backend for its models, behind everything else, and go on asking while that has a use."""
        for shelf in self._all():
            self._ask_again(shelf)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(PROBE_EVERY_S, self._due)

    async def refresh(self, backend: Backend | None = None) -> None:
        """Ask `backend`, or all of them, and wait for the answers."""
        shelves = self._all() if backend is None else [self._shelves[backend.name]]
        if shelves:
            await asyncio.wait([self._ask_again(shelf) for shelf in shelves])

    async def close(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
        for shelf in self._all():
            if shelf.probe is not None:
                shelf.probe.cancel()

    def watch(self, watched: bool) -> None:
        """Somebody looks at the list now, or nobody does any more."""
        self.watched = watched
        if watched and self._timer is None:
            self.probe()

    def _due(self) -> None:
        self._timer = None
        if self.watched or any(shelf.reason for shelf in self._all()):
            self.probe()

    def _ask_again(self, shelf: Shelf) -> asyncio.Task[None]:
        if shelf.probe is None or shelf.probe.done():
            shelf.probe = asyncio.get_running_loop().create_task(self._ask(shelf))
        return shelf.probe

    async def _ask(self, shelf: Shelf) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                shelf.models = tuple(await shelf.backend.list_models())
            shelf.reason = None
        except BackendError as error:
            shelf.reason = error.message
        except TimeoutError:
            shelf.reason = "It did not say in time which models it has."
        except Exception:
            log.exception("a backend failed to list its models", backend=shelf.backend.name)
            shelf.reason = "It failed when it was asked for its models."
        self._changed()

    def _listener(self, backend: Backend) -> Callable[[Notice], None]:
        def listen(notice: Notice) -> None:
            if isinstance(notice, Loading):
                self._tell(_loading_message(backend, notice))
            else:
                self._ask_again(self._shelves[backend.name])

        return listen

    def _changed(self) -> None:
        """Choose what is current, unless a person did, and tell when anything is not as it was told."""
        if not self._chosen:
            self.current = self._best()
        message = self.message()
        if message != self._told:
            self._told = message
            self._tell(message)

    def _best(self) -> str:
        """The first model that can answer, else the first that will soon, else the first there is."""
        entries = self.message().models
        for states in (USABLE, ("loading",), ("draining", "failed", "unreachable")):
            for entry in entries:
                if entry.state in states:
                    return entry.name
        return ""

    # Loading

    async def load(self, name: str) -> str:
        """Make a model current once it is ready to answer. One at a time; when it fails, the current one stays.

        Gives its full name. Raises a BackendError.
        """
        async with self._loading:
            full_name = await self._load(name)
            self.current, self._chosen = full_name, True
            await self.refresh(self._shelves[full_name.partition("/")[0]].backend)
            return full_name

    async def _load(self, name: str) -> str:
        """Let the first backend that can have the model load it. It need not be listed: a backend may fetch it."""
        missing: BackendError = self._missing(name)
        found = self.find(name)
        meanings = (
            [(found[0], found[1].name)] if found else [(shelf.backend, model) for shelf, model in self._meanings(name)]
        )
        for backend, model in meanings:
            try:
                async with aclosing(backend.load(model)) as steps:
                    async for step in steps:
                        self._tell(_loading_message(backend, step))
                return f"{backend.name}/{model}"
            except ModelNotFound as error:
                missing = error
            except BackendError:
                raise
            except Exception as error:
                log.exception("a model could not be loaded", backend=backend.name, model=model)
                raise BackendFailed("The model could not be loaded. The server's log says why.") from error
        raise missing

    # Names

    def _all(self) -> list[Shelf]:
        return list(self._shelves.values())

    def _meanings(self, name: str) -> Iterable[tuple[Shelf, str]]:
        """What a name can mean: a backend's model by its full name, or any backend's by its bare one."""
        prefix, slash, rest = name.partition("/")
        if slash and prefix in self._shelves:
            yield self._shelves[prefix], rest
        for shelf in self._all():
            yield shelf, name

    def _list(self, shelf: Shelf) -> list[ModelEntry]:
        name = shelf.backend.name
        if shelf.reason is None:
            return [_entry(name, info) for info in shelf.models]
        known = shelf.models or (ModelInfo(self._expected.get(name) or name),)
        return [_entry(name, info, shelf.reason) for info in known]

    def _missing(self, name: str) -> BackendError:
        shelf = self._shelves.get(name.partition("/")[0])
        if shelf is not None and shelf.reason:
            return BackendUnreachable(shelf.reason)
        if name:
            return ModelNotFound(f"There is no model {name[:80]} here. Pick one from the list.")
        return BackendUnreachable(f"No model can answer. {self.health().reason}")


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
        capabilities=list(info.capabilities),
    )


def _loading_message(backend: Backend, loading: Loading) -> LoadingMessage:
    return LoadingMessage(
        model=f"{backend.name}/{loading.model}", message=loading.message, done=loading.done, total=loading.total
    )
