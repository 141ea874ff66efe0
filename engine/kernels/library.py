"""The kernels' library in this process: opened once it is there, and built in the background where it is not.

A build never delays anybody: it runs on a thread of its own, in processes of low priority. There is one at a time in a
process; who asks for it meanwhile waits for the same one.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.errors import EngineError, KernelsUnavailable
from engine.kernels.build import SECONDS, build, find
from engine.kernels.compiler import Patience
from engine.kernels.store import discard, fingerprint_of

__all__ = ["BackgroundBuild", "build_in_background", "find", "open_library"]

log = logging.getLogger(__name__)
_STAYING = "Staying on PyTorch's kernels, which are slower. %s"
_PATIENCE_AT_EXIT = 5.0  # seconds, for ending compilers and removing what is unfinished


def open_library(path: Path) -> ctypes.CDLL:
    """Map the library at `path`, a result of `find` or a build, into this process.

    Raises KernelsUnavailable if it cannot be mapped or is not what its name says; then it is deleted, to be built anew.
    """
    try:
        library = ctypes.CDLL(str(path))
        library.kernels_fingerprint.restype = ctypes.c_char_p
        fingerprint = library.kernels_fingerprint().decode()
    except (OSError, AttributeError) as error:
        discard(path)
        raise KernelsUnavailable(f"{path} cannot be used: {error}.") from error
    if fingerprint != fingerprint_of(path):
        discard(path)
        raise KernelsUnavailable(f"{path} was made from other sources than its name says.")
    return library


class BackgroundBuild:
    """Builds the library at most once at a time, and tells everybody who asked meanwhile."""

    def __init__(self, make: Callable[[Patience], Path] = lambda patience: build(patience=patience)) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._waiting: list[Callable[[Path], None]] = []
        self._thread: threading.Thread | None = None
        self._failed = False
        self._stopped = threading.Event()

    def start(self, done: Callable[[Path], None]) -> None:
        """Call `done` with the library, on the building thread, when it is there.

        If it cannot be built that is logged, `done` is not called, and it is not tried again.
        """
        with self._lock:
            if self._failed:
                return
            self._waiting.append(done)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kernels", daemon=True)
                atexit.register(self.stop)
                self._thread.start()

    def stop(self) -> None:
        """End the compilers, if some run, and wait for that."""
        self._stopped.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(_PATIENCE_AT_EXIT)

    def _run(self) -> None:
        library = self._build()
        while library is not None and (done := self._next_waiting()) is not None:
            try:
                done(library)
            except EngineError as error:
                log.warning(_STAYING, error)
            except Exception:
                log.exception("The kernels are built but cannot be used; PyTorch's own go on.")

    def _build(self) -> Path | None:
        began = time.monotonic()
        log.info("Compiling kernels for this machine in the background; PyTorch's own compute meanwhile")
        try:
            library = self._make(Patience(SECONDS, self._stopped))
        except KernelsUnavailable as error:
            self._give_up(str(error))
            return None
        except Exception as error:
            log.debug("The build broke.", exc_info=True)
            self._give_up(f"{type(error).__name__}: {error}.")
            return None
        log.info("Kernels compiled in %.0f s: %s", time.monotonic() - began, library)
        return library

    def _give_up(self, reason: str) -> None:
        with self._lock:
            self._failed = True
            self._waiting.clear()
        if not self._stopped.is_set():
            log.warning(_STAYING + " To try by hand: python -m engine.kernels.build", reason)

    def _next_waiting(self) -> Callable[[Path], None] | None:
        """Who is to be told next; with None, the thread is done."""
        with self._lock:
            if self._waiting:
                return self._waiting.pop(0)
            self._thread = None
            atexit.unregister(self.stop)
            return None


build_in_background = BackgroundBuild().start  # the one of this process
