"""A server as a process of its own: where it is, what it logs, what it takes, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 20.0


class Program:
    """A program that logs where it listens. Its log is read all the time, or it would stand still when that is full."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.log: list[str] = []
        self._log_ended = False
        self._grew = threading.Condition()
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()
        found = re.search(r"listening on (http://[\d.]+:\d+)", self.wait_for("listening on"))
        assert found, self.log
        self.url = found[1]
        self.ws = found[1].replace("http", "ws") + "/ws"
        self.psutil = psutil.Process(self.popen.pid)

    def hears(self) -> str:
        """The next line it writes to its standard output; empty when it has ended."""
        return _pipe(self.popen.stdout).readline().strip()

    def wait_for(self, text: str, times: int = 1) -> str:
        """The first line of the log that holds `text`, once so many do."""
        with self._grew:
            assert self._grew.wait_for(
                lambda: len(self.lines(text)) >= times or not self._reader.is_alive(), PATIENCE_S
            )
        assert len(self.lines(text)) >= times, "\n".join(self.log)
        return self.lines(text)[0]

    def lines(self, text: str) -> list[str]:
        return [line for line in tuple(self.log) if text in line]

    def events(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log about that event, taken apart."""
        parsed = (json.loads(line) for line in tuple(self.log) if line.startswith("{"))
        return [line for line in parsed if line["event"] == event]

    def memory(self) -> int:
        """Bytes of RAM."""
        rss: int = self.psutil.memory_info().rss
        return rss

    def send(self, sig: signal.Signals) -> None:
        self.popen.send_signal(sig)

    def status(self) -> int:
        """The exit status, once it has ended by itself."""
        status = self.popen.wait(timeout=PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return status

    def end(self) -> None:
        """End it, if it still runs."""
        self.popen.kill()
        self.popen.wait()
        self._reader.join(PATIENCE_S)
        _pipe(self.popen.stdout).close()
        _pipe(self.popen.stderr).close()

    def _read_log(self) -> None:
        for line in _pipe(self.popen.stderr):
            with self._grew:
                self.log.append(line.rstrip("\n"))
                self._grew.notify_all()
        with self._grew:
            self._log_ended = True
            self._grew.notify_all()


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[Program]:
    """`python app.py` on a free port with the echo backend, or another program, until the end of the context."""
    usual = {"PORT": "0", "BACKENDS": "echo", "DATABASE_URL": "off"}
    program = Program(*(arguments or ("app.py",)), **{**usual, **environment})
    try:
        yield program
    finally:
        program.end()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
