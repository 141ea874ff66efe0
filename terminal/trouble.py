"""What can go wrong in a command, as a sentence for the person and an exit status for the shell.

Trouble               1: it failed
├── Misuse            2: what was asked for makes no sense
└── NoServer          3: nothing answers at the server's address
"""

from __future__ import annotations

from typing import ClassVar

STOPPED = 130  # by Ctrl-C, as shells have it
PIPE_CLOSED = 141  # nobody reads any more, as shells have it


class Trouble(Exception):
    """A command that ends without what it was to do. `str()` is a sentence; it may quote the server."""

    status: ClassVar[int] = 1


class Misuse(Trouble):
    """What was asked for makes no sense."""

    status = 2


class NoServer(Trouble):
    """Nothing answers."""

    status = 3

    def __init__(self, url: str) -> None:
        super().__init__(
            f"No server answers at {url}. Start one with `make serve` or `python cli.py serve`, "
            "or name another with --server."
        )
