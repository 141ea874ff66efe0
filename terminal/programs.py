"""The programs beside this one: `serve`, `bench` and `keys` become them, with the same Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from terminal.trouble import Misuse

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"


def serve(settings: Mapping[str, str]) -> NoReturn:
    """Be the server, with these settings in place of those in .env."""
    _become(["app.py"], settings)


def keys(arguments: Sequence[str]) -> NoReturn:
    """Be what makes, lists and removes API keys."""
    _become(["-m", "server.access.keys", *arguments])


def bench(name: str, arguments: Sequence[str]) -> NoReturn:
    """Be one of the measuring programs. Raises Misuse for one that there is not."""
    if name not in benches():
        raise Misuse(f"There is no bench program {name}. There are: {', '.join(benches())}.")
    _become(["-m", f"bench.{name}", *arguments])


def benches() -> list[str]:
    """The measuring programs: those files of bench/ that can be started."""
    return sorted(path.stem for path in BENCH.glob("*.py") if '__name__ == "__main__"' in path.read_text())


def _become(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> NoReturn:
    """Signals, exit status and terminal are then the program's own matter."""
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **(environment or {})})
