"""A program on a terminal of its own, driven as a person would: read what stands there, then type."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tools.emulator import Emulator

PATIENCE_S = 60.0  # a machine that does much else is slow
WHERE, HERE = "\x1b[6n", "\x1b[{row};{column}R"  # a program asks where the cursor is, and a terminal answers


class NotSeen(AssertionError):
    """What was waited for did not come."""


class OnPty:
    """A running program. `written` is all it wrote, `seen` that as a screen. Use it as a context manager."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], columns: int = 80, rows: int = 24
    ) -> None:
        self.written = ""
        self.seen = Emulator(columns, rows)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._terminal, program_side = pty.openpty()
        fcntl.ioctl(program_side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "TERM": "xterm-256color", **environment},
            stdin=program_side,
            stdout=program_side,
            stderr=program_side,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(program_side)

    def __enter__(self) -> OnPty:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def type(self, keys: str) -> None:
        """Press keys; Enter is `\\r`, Ctrl-C is `\\x03`."""
        os.write(self._terminal, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def local_flags(self) -> int:
        """The terminal's local modes, such as `termios.ECHO`, as whoever used it last has left them."""
        return int(termios.tcgetattr(self._terminal)[3])

    def read_until(self, holds: Callable[[], bool], what: str) -> None:
        """Read what the program writes until `holds`. Raises NotSeen when it ends, or after very long."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            if not self._read(deadline):
                raise NotSeen(f"{what} was not seen. The screen:\n{self.seen.text()}")

    def see(self, text: str, times: int = 1) -> None:
        """Wait until the screen shows `text`, so many times at least."""
        self.read_until(lambda: self.seen.text().count(text) >= times, repr(text))

    def ended(self) -> int:
        """Wait until the program has ended. Gives its exit status."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        return self._process.wait(PATIENCE_S)

    def _read(self, deadline: float) -> bool:
        """Read once; False at the end."""
        ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self._terminal, 65_536) if ready else b""
        except OSError:  # how Linux says that nobody has the other side any more
            data = b""
        text = self._decoder.decode(data)
        self.written += text
        self.seen.feed(text)
        if WHERE in text:
            self.type(HERE.format(row=self.seen.cursor[0], column=self.seen.cursor[1]))
        return bool(data)


def _take_terminal() -> None:
    """Make the terminal the program's own, so that Ctrl-C reaches it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
