"""One thread that owns one engine for its whole life: it loads the model, steps it, and builds it anew if it breaks.

An engine that breaks again and again stays down. Before that, it is tried once without the compiled kernels, if it
computed with them when it broke.

Where the compiled kernels are not there yet, they are built beside the first answers, and the engine switches to them.

Others speak to it through `submit`, `abort` and `stop`, which never wait; it speaks through `report`, which it
calls on its own thread. Knows nothing of event loops.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config import EngineConfig
from engine.errors import EngineError, ModelLoadError
from engine.kernels.library import build_in_background
from engine.reports import (
    Crashed,
    Ended,
    Failed,
    Loading,
    Measured,
    Ready,
    Rejected,
    Report,
    Request,
    Stepped,
)

if TYPE_CHECKING:  # torch takes seconds to import: that happens on the thread
    from engine.computation import Computation
    from engine.llm_engine import LLMEngine
    from engine.structured import Grammars

log = logging.getLogger(__name__)

# Compute threads wait for each other hundreds of times a step, by default spinning. Where another program holds a core,
# they spin away the time that the last of them needs, and steps get ten times slower. Read when torch is imported.
_SPINS = "1000"

MEASURE_EVERY = 0.25  # seconds
CRASHES = 3  # so many within `CRASH_WINDOW` seconds, and the engine stays down
CRASH_WINDOW = 60.0
NAMED = 20  # requests that a line of the log names at most


class _Stopped(BaseException):
    """Raised inside the loading to end it. Not an Exception: what loads in another way after a failure lets it pass."""


class EngineWorker:
    """Loads the model at `path` and answers requests with it until it is stopped."""

    def __init__(self, path: Path, config: EngineConfig, report: Callable[[Report], None]) -> None:
        self._path = path
        self._config = config
        self._report = report
        self._commands: deque[Request | str | Computation] = deque()  # a text aborts the request of that id
        self._wake = threading.Condition()
        self._stopping = False
        self._queued: dict[str, int] = {}
        self._measure_at = 0.0
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._adding: str | None = None  # the request that the engine is being given
        self._awaits_kernels = False
        self._grammars: Grammars | None = None
        self._thread = threading.Thread(target=self._run, name=f"engine {path.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Answer `request`, after the loading if need be."""
        self._command(request)

    def abort(self, request_id: str) -> None:
        """Forget a request before the next step."""
        self._command(request_id)

    def stop(self) -> None:
        """End now, in the middle of loading or between two steps."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join()

    def _command(self, command: Request | str | Computation) -> None:
        with self._wake:
            self._commands.append(command)
            self._wake.notify()

    def _run(self) -> None:
        last: Report = Ended()
        try:
            while not self._serve():
                pass
        except _Stopped:
            pass
        except EngineError as error:
            log.warning("Model not available: %s", error)
            last = Failed(error)
        except BaseException:  # nobody else would say that the thread is gone
            log.exception("The engine could not be built.")
            last = Failed(ModelLoadError(f"{self._path.name} cannot be loaded. The log says why."))
        self._report(last)

    def _serve(self) -> bool:
        """Build an engine and run it. False if it broke and is to be built anew."""
        engine = self._load()
        self._report(Ready(engine.tokenizer, engine.context_length, self._make_grammars(engine)))
        self._report(Measured(engine.stats()))
        self._await_kernels(engine)
        try:
            while self._wait_for_work(engine):
                self._obey(engine)
                if engine.has_work():
                    started = time.monotonic()
                    self._report(Stepped(started, engine.step(), self._changed_places(engine)))
                self._measure(engine)
        except BaseException as error:  # also what libraries do not derive from Exception
            self._after_crash(engine, error)
            return False
        finally:
            engine.tokenizer.close()
        return True

    def _load(self) -> LLMEngine:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
        from engine.llm_engine import LLMEngine

        # Modules stay for good. To look through the 200,000 objects of torch's stops every thread for a tenth of a
        # second, whenever the collector comes to its oldest generation.
        gc.freeze()
        return LLMEngine.from_gguf(self._path, config=self._config, progress=self._loaded)

    def _make_grammars(self, engine: LLMEngine) -> Grammars:
        """Once: an engine that is built anew has the same tokens."""
        from engine.structured import Grammars

        if self._grammars is None:
            self._grammars = Grammars(engine.tokenizer)
        return self._grammars

    def _loaded(self, done: int, total: int) -> None:
        self._check_stop()
        self._report(Loading(done, total))

    def _await_kernels(self, engine: LLMEngine) -> None:
        """Begin to build the kernels if the engine would be faster with them."""
        if engine.awaits_kernels and not self._awaits_kernels:
            self._awaits_kernels = True
            build_in_background(partial(self._load_again, engine.context_length))

    def _load_again(self, context_length: int, library: Path) -> None:
        """Load the model for the kernels, on the thread that built them, beside the one that computes meanwhile.

        Running answers may need contexts as long as they were promised.
        """
        from engine.loading import load_native

        with suppress(_Stopped):
            config = replace(self._config, context_length=context_length)
            self._command(load_native(self._path, config, library, self._check_stop))

    def _check_stop(self, *_: int) -> None:
        if self._stopping:
            raise _Stopped

    def _switch(self, engine: LLMEngine, computation: Computation) -> None:
        from engine.device import return_freed_memory

        # An engine that was built anew meanwhile may have them already, or longer contexts than these.
        if engine.awaits_kernels and engine.context_length <= computation.model.config.context_length:
            engine.replace_model(computation)
            return_freed_memory()  # the first form's, which is the larger one
            log.info("Computing with %s from now on", engine.computing)
            self._report(Measured(engine.stats()))

    def _wait_for_work(self, engine: LLMEngine) -> bool:
        """Sleep until there is something to do. False at the end."""
        with self._wake:
            while not (self._stopping or self._commands or engine.has_work()):
                self._wake.wait()
            return not self._stopping

    def _obey(self, engine: LLMEngine) -> None:
        while self._commands:
            command = self._commands.popleft()
            if isinstance(command, str):
                engine.abort(command)
            elif isinstance(command, Request):
                self._add(engine, command)
            else:
                self._switch(engine, command)

    def _add(self, engine: LLMEngine, request: Request) -> None:
        log.debug("Request %s has %d tokens", request.request_id, len(request.token_ids))
        self._adding = request.request_id
        try:
            engine.add_request(
                request.request_id,
                request.token_ids,
                request.params,
                n=request.n,
                fairness_key=request.fairness_key,
                priority=request.priority,
                begun=request.begun,
                resumed=request.resumed,
                guide=request.guide,
            )
        except (EngineError, ValueError) as error:
            self._report(Rejected(request.request_id, error))
        self._adding = None

    def _changed_places(self, engine: LLMEngine) -> dict[str, int]:
        before, self._queued = self._queued, engine.queue_places()
        return {name: place for name, place in self._queued.items() if before.get(name) != place}

    def _measure(self, engine: LLMEngine) -> None:
        now = time.monotonic()
        if now >= self._measure_at or not engine.has_work():
            self._measure_at = now + MEASURE_EVERY
            self._report(Measured(engine.stats()))

    def _after_crash(self, engine: LLMEngine, error: BaseException) -> None:
        """Tell those who wait. Raises ModelLoadError when it is enough."""
        lost = sorted({*engine.request_ids(), *([self._adding] if self._adding else ())})
        log.error("The engine broke while answering %s.", ", ".join(lost[:NAMED]) or "nobody", exc_info=error)
        self._adding, self._queued = None, {}
        self._report(Crashed(lost))
        now = time.monotonic()
        self._crashes.append(now)
        recent = sum(now - crash < CRASH_WINDOW for crash in self._crashes)
        if recent == CRASHES:
            raise ModelLoadError(f"The engine broke {CRASHES} times within a minute and stays down.") from error
        if recent == CRASHES - 1 and engine.native:
            log.warning("The engine broke %d times within a minute: going on without the compiled kernels", recent)
            self._config = replace(self._config, dtype_path="eager")
