"""Keeps the catalogue of models true: asks the backends behind everything else, hears their notices, loads models.

Only what is awaited here waits for a backend. Knows nothing of sessions or sockets: what changes is told to a callback,
and so is the notice that an engine's numbers did.
Backends are asked at the start, when one says that its models changed, and every ten seconds while somebody watches or
a backend is out of reach; otherwise nothing runs.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

import structlog

from backends.base import (
    Backend,
    BackendError,
    BackendFailed,
    Loading,
    ModelInfo,
    ModelNotFound,
    ModelsChanged,
    Notice,
    StatsChanged,
)
from server.catalogue import Catalogue, Shelf
from server.clock import Clock, Timer
from server.protocol import LoadingMessage, ModelsMessage

PROBE_EVERY_S = 10.0
PROBE_TIMEOUT_S = 5.0

log = structlog.get_logger()


class Models:
    """The probes behind `catalogue`, and the loading of models."""

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Clock,
        tell: Callable[[ModelsMessage | LoadingMessage], None],
        stats_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.catalogue = catalogue
        self._clock = clock
        self._tell = tell
        self._stats_changed = stats_changed
        self._told = catalogue.message()
        self._watched = False
        self._probes: dict[str, _Probe] = {}
        self._timer: Timer | None = None
        self._loading = asyncio.Lock()
        for shelf in catalogue.shelves.values():
            self._probes[shelf.backend.name] = _Probe(shelf, self._changed)
            shelf.backend.notify = self._listener(shelf.backend)

    async def start(self, grace_s: float) -> None:
        """Ask every backend, and give the quick ones time to answer."""
        self.probe()
        if self._probes:
            await asyncio.wait([probe.ask() for probe in self._probes.values()], timeout=grace_s)

    async def close(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
        for probe in self._probes.values():
            await probe.close()

    def watch(self, watched: bool) -> None:
        """Somebody looks at the list from now on, or nobody does any more."""
        self._watched = watched
        if watched and self._timer is None:
            self.probe()

    def probe(self) -> None:
        """Ask every backend now, behind everything else, and go on asking while that has a use."""
        for probe in self._probes.values():
            probe.ask()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(PROBE_EVERY_S, self._due)

    async def resolve(self, name: str) -> tuple[Backend, ModelInfo]:
        """Whose model that is, asking the backends once more when it is not known. Raises a BackendError.

        An empty name stands for the current model.
        """
        found = self.catalogue.find(name or self.catalogue.current)
        if found is None and self._probes:
            await asyncio.wait([probe.ask(again=True) for probe in self._probes.values()])
            found = self.catalogue.find(name or self.catalogue.current)
        if found is None:
            raise self.catalogue.missing(name)
        return found

    async def load(self, name: str) -> str:
        """Make a model current once it is ready to answer. One at a time; when that fails, the former one stays.

        It need not be listed: the first backend that can fetch it may. Gives its full name. Raises a BackendError.
        """
        async with self._loading:
            full = ""
            async with aclosing(self._make_ready(name)) as steps:
                async for step in steps:
                    full = step.model
            self.catalogue.chosen = full
            await self._ask_again(full)
            return full

    async def make_ready(self, name: str) -> AsyncGenerator[Loading, None]:
        """Have a model loaded, or fetched where nobody has it yet, and leave the current one as it is.

        Yields how far it is, by full names: the last one is that of the list. Raises a BackendError.
        """
        full = ""
        async with aclosing(self._make_ready(name)) as steps:
            async for step in steps:
                full = step.model
                yield step
        await self._ask_again(full)

    async def unload(self, name: str) -> None:
        """Give back the memory that a model takes. Raises a BackendError."""
        backend, info = await self.resolve(name)
        await backend.unload(info.name)
        await self._ask_again(f"{backend.name}/{info.name}")

    async def _make_ready(self, name: str) -> AsyncGenerator[Loading, None]:
        """By the backend that has the model, or else by the first one that can fetch it. Every step is told."""
        missing = self.catalogue.missing(name)
        found = self.catalogue.find(name)
        meanings = [(shelf.backend, model) for shelf, model in self.catalogue.meanings(name)]
        for backend, model in [(found[0], found[1].name)] if found else meanings:
            full = ""
            try:
                async with aclosing(backend.load(model)) as steps:
                    async for step in steps:
                        self._tell(_loading_message(backend, step))
                        full = f"{backend.name}/{step.model}"
                        yield replace(step, model=full)
                if not full:  # it had nothing to do, and no word for it
                    yield Loading(f"{backend.name}/{model}", "ready")
                return
            except ModelNotFound as error:
                missing = error
            except BackendError:
                raise
            except Exception as error:
                log.exception("a model could not be loaded", backend=backend.name, model=model)
                raise BackendFailed("The model could not be loaded. The server's log says why.") from error
        raise missing

    async def _ask_again(self, full_name: str) -> None:
        """Have the backend of that model tell what it has now."""
        await asyncio.wait([self._probes[full_name.partition("/")[0]].ask(again=True)])

    def _due(self) -> None:
        self._timer = None
        if self._watched or any(shelf.reason for shelf in self.catalogue.shelves.values()):
            self.probe()

    def _listener(self, backend: Backend) -> Callable[[Notice], None]:
        def listen(notice: Notice) -> None:
            match notice:
                case ModelsChanged():
                    self._probes[backend.name].ask(again=True)
                case StatsChanged():
                    self._stats_changed()
                case Loading():
                    self._tell(_loading_message(backend, notice))

        return listen

    def _changed(self) -> None:
        message = self.catalogue.message()
        if message != self._told:
            self._told = message
            self._tell(message)


class _Probe:
    """Asks one backend for its models, once at a time, and puts the answer on its shelf."""

    def __init__(self, shelf: Shelf, changed: Callable[[], None]) -> None:
        self._shelf = shelf
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def ask(self, *, again: bool = False) -> asyncio.Task[None]:
        """Ask, unless it is being asked. `again`: what it is saying now may be out of date, so ask once more then."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())  # for all
        else:
            self._again = self._again or again
        return self._task

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            self._again = False
            await self._ask()
            self._changed()
            if not self._again:
                return

    async def _ask(self) -> None:
        shelf = self._shelf
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                shelf.fill(await shelf.backend.list_models())
        except BackendError as error:
            shelf.reason = error.message
        except TimeoutError:
            shelf.reason = "It did not say in time which models it has."
        except Exception:
            log.exception("a backend failed to list its models", backend=shelf.backend.name)
            shelf.reason = "It failed when it was asked for its models."


def _loading_message(backend: Backend, step: Loading) -> LoadingMessage:
    return LoadingMessage(model=f"{backend.name}/{step.model}", message=step.message, done=step.done, total=step.total)
