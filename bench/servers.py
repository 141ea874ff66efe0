"""Servers to be measured, each in a process of its own, and put to sleep while another one is measured.

Knows how to start Switchboard and llama.cpp on a free port; knows nothing of what is asked of them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
THREADS = 2
START_TIMEOUT_S = 120.0


class Server:
    """A running server."""

    def __init__(
        self, process: subprocess.Popen[str], address: str, said: Sequence[str], extra: Mapping[str, object]
    ) -> None:
        """`said` is what it printed while it started, `extra` what its requests must hold beyond the plain fields."""
        self.process, self.address, self.said, self.extra = process, address, said, extra

    def peak_memory_mib(self) -> float:
        """The most memory that the process had in RAM; 0 where the system does not tell."""
        status = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
        return int(found[1]) / 1024 if found else 0.0

    def get(self, path: str) -> Any:
        """The JSON that the server gives for `path`."""
        with urllib.request.urlopen(self.address + path, timeout=30) as answer:
            return json.load(answer)

    @contextmanager
    def asleep(self) -> Generator[None]:
        """Meanwhile the process gets no processor time."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def switchboard(model: Path, slots: int, settings: Mapping[str, str] | None = None) -> Generator[Server]:
    """`python app.py` with that model. Entered when the model is ready and computes as fast as it is going to."""
    environment = {
        "PORT": "0",
        "HOST": "127.0.0.1",
        "BACKENDS": "pytorch",
        "MODEL_PATH": str(model.resolve()),
        "MAX_BATCH_SIZE": str(slots),
        "TORCH_THREADS": str(THREADS),
        **(settings or {}),
    }
    with _started([sys.executable, "app.py"], environment, {}) as server:
        _wait(lambda: _model_state(server) == "ready")
        yield server


@contextmanager
def chats(backend: str, settings: Mapping[str, str] | None = None) -> Generator[Server]:
    """`python app.py` with that backend alone, letting in as many connections as come, and no history."""
    environment = {
        "PORT": "0",
        "HOST": "127.0.0.1",
        "BACKENDS": backend,
        "DATABASE_URL": "off",
        "MAX_CONNECTIONS": "100000",
        "MAX_CONNECTIONS_PER_CLIENT": "100000",
        **(settings or {}),
    }
    with _started([sys.executable, "app.py"], environment, {}) as server:
        _wait(lambda: _model_state(server) == "ready")
        yield server


@contextmanager
def bare() -> Generator[Server]:
    """The least that uvicorn and Starlette can serve: `bench.bare`."""
    with _started([sys.executable, "-m", "bench.bare"], {}, {}) as server:
        yield server


@contextmanager
def llama_cpp(
    model: Path, slots: int, context: int, binary: Path | None = None, *, verbose: bool = False
) -> Generator[Server]:
    """llama.cpp's server with `slots` sequences of `context` tokens each: the binary, or the wheel `xllamacpp`."""
    if binary is None:
        command = [sys.executable, "-m", "bench.llama_cpp", str(model), "--slots", str(slots)]
        command += ["--context", str(context), *(["--verbose"] if verbose else [])]
    else:
        command = [str(binary), "--model", str(model), "--parallel", str(slots), "--ctx-size", str(slots * context)]
        command += ["--threads", str(THREADS), "--threads-batch", str(THREADS), "--kv-unified", "--cache-ram", "0"]
        command += ["--host", "127.0.0.1", "--port", "0", *(["--verbose"] if verbose else [])]
    with _started(command, {}, {"ignore_eos": True}) as server:
        _wait(lambda: server.get("/health")["status"] == "ok")
        yield server


@contextmanager
def _started(command: Sequence[str], environment: Mapping[str, str], extra: Mapping[str, object]) -> Generator[Server]:
    """The process, once it has said which address it listens on."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said: list[str] = []
    listening: threading.Thread | None = None
    try:
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise RuntimeError(f"{' '.join(command)} did not start:\n{''.join(said[-20:])}")
        listening = threading.Thread(target=said.extend, args=(process.stdout,), daemon=True)
        listening.start()  # a full pipe would stop it
        yield Server(process, found.group(), said, extra)
    finally:
        process.terminate()
        process.wait()
        if listening is not None:
            listening.join()
        process.stdout.close()


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(OSError):  # a server that is loading says 503, which is one
            if ready():
                return
        time.sleep(0.02)
    raise TimeoutError("A server was not ready in time.")


def _model_state(server: Server) -> str:
    models = server.get("/api/models")["models"]
    if models and models[0]["state"] == "failed":
        raise RuntimeError(models[0]["reason"])
    return str(models[0]["state"]) if models else "loading"
