"""A server that is killed in the midst of its work and started again, on the same port and the same files."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bench.servers import ROOT

START_S = 60.0
LOOK_AGAIN_S = 0.02


class MortalServer:
    """`python app.py` with the in-process engine, its conversations in a database in `folder`."""

    def __init__(self, model: Path, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._log = folder / "server.log"
        self._environment = {
            **os.environ,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "BACKENDS": "pytorch",
            "MODEL_PATH": str(model.resolve()),
            "MODEL_DIR": str(model.resolve().parent),
            "DATABASE_URL": f"sqlite:///{folder.resolve() / 'conversations.db'}",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has printed, in all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        """Begin another life. Returns at once."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "app.py"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it and its children at once, without a word to any of them."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """End it as its owner would. Raises RuntimeError when it does not end well."""
        assert self._process is not None
        self._process.terminate()
        if (status := self._process.wait()) != 0:
            raise RuntimeError(f"The server ended with {status}:\n{self.log[-2000:]}")

    async def ready(self) -> None:
        """Wait until its model can answer. Raises RuntimeError when it ended, TimeoutError when it takes too long."""
        async with asyncio.timeout(START_S):
            while not await asyncio.to_thread(self._model_is_ready):
                if self._process is None or self._process.poll() is not None:
                    raise RuntimeError(f"The server ended:\n{self.log[-2000:]}")
                await asyncio.sleep(LOOK_AGAIN_S)

    def get(self, path: str) -> dict[str, object]:
        """The JSON that it gives for `path`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            found: dict[str, object] = json.load(answer)
            return found

    def _model_is_ready(self) -> bool:
        with suppress(OSError):
            models = self.get("/api/models")["models"]
            return isinstance(models, list) and any(model["state"] == "ready" for model in models)
        return False
