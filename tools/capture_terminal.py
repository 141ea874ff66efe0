"""Writes docs/terminal_chat.txt and docs/terminal_doctor.txt anew: `python -m tools.capture_terminal`.

Starts a server with the embedded model and types into a real `cli.py chat` as a person would; `cli.py doctor` looks at
this machine while nothing runs. What the terminal then shows is written down.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.on_pty import OnPty

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
COLUMNS, ROWS = 100, 40
QUESTIONS = (
    "What is the capital of France?",
    "List three kinds of tea, each with a few words on how it tastes.\x1b\rUse a Markdown list.",
)
STOPPED = "Write a long story about a lighthouse."


def main() -> int:
    """Capture both."""
    with tempfile.TemporaryDirectory() as folder:
        (DOCS / "terminal_doctor.txt").write_text(capture_doctor(Path(folder)))
        with server(Path(folder)) as url:
            (DOCS / "terminal_chat.txt").write_text(capture_chat(url, Path(folder)))
    return 0


def capture_chat(url: str, folder: Path) -> str:
    """Questions, an answer that is stopped, and leaving."""
    with program("chat", "--server", url, "--temperature", "0", folder=folder) as chat:
        chat.see("\n›")
        for number, question in enumerate(QUESTIONS, 1):
            chat.type(f"{question}\r")
            chat.see("first after", times=number)
        chat.type(f"{STOPPED}\r")
        chat.see("lighthouse", times=3)
        chat.type("\x03")
        chat.see("stopped")
        chat.type("/model\r")
        chat.see("context")
        chat.type("/quit\r")
        chat.ended()
        return f"$ python cli.py chat --temperature 0\n{chat.seen.text()}\n"


def capture_doctor(folder: Path) -> str:
    """What there is to say of this machine."""
    with program("doctor", folder=folder, PORT=str(free_port())) as doctor:
        doctor.ended()
        return f"$ python cli.py doctor\n{doctor.seen.text()}\n"


def program(*arguments: str, folder: Path, **environment: str) -> OnPty:
    """`cli.py`, without a history of what was typed."""
    return OnPty(
        [sys.executable, "cli.py", *arguments], ROOT, {"XDG_STATE_HOME": str(folder), **environment}, COLUMNS, ROWS
    )


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A server with the embedded model."""
    port = free_port()
    settings = {"PORT": str(port), "BACKENDS": "pytorch", "DATABASE_URL": f"sqlite:///{folder}/c.db"}
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env={**os.environ, **settings}, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            subprocess.run([sys.executable, "-m", "tools.verify", "models", url], cwd=ROOT, check=False)
            yield url
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
