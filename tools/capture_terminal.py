"""Makes the pictures in docs/terminal.md anew: `python -m tools.capture_terminal`.

Starts a server with the embedded model and types into a real `cli.py chat` as a person would; `cli.py doctor` looks at
this machine while nothing runs. What the terminal then shows takes the place of what the document shows.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from bench.mortal import MortalServer
from tools.on_pty import OnPty

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED_MODEL = "models/SmolLM2-135M-Instruct.Q4_1.gguf"
DOCUMENT = ROOT / "docs" / "terminal.md"
COLUMNS, ROWS = 100, 40
QUESTIONS = (
    "What is the capital of France?",
    "List three kinds of tea, each with a few words on how it tastes.\x1b\rUse a Markdown list.",
)
STOPPED = "Write a long story about a lighthouse."


def main() -> int:
    """Capture both."""
    with tempfile.TemporaryDirectory() as folder:
        show(capture_doctor(Path(folder)))
        server = MortalServer(ROOT / EMBEDDED_MODEL, Path(folder))
        server.start()
        try:
            asyncio.run(server.ready())
            show(capture_chat(f"127.0.0.1:{server.port}", Path(folder)))
        finally:
            server.stop()
    return 0


def show(picture: str) -> None:
    """Put the picture where the document has one that begins with the same line."""
    command = re.escape(picture.splitlines()[0])
    text, found = re.subn(
        rf"^```text\n{command}\n.*?^```$",
        lambda _: f"```text\n{picture}```",
        DOCUMENT.read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )
    assert found == 1, f"{DOCUMENT.name} has {found} places for it."
    DOCUMENT.write_text(text)


def capture_chat(url: str, folder: Path) -> str:
    """Questions, an answer that is stopped, the models, and leaving."""
    with program("chat", "--temperature", "0", folder=folder, SWITCHBOARD_URL=url) as chat:
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
    """What there is to say of a machine on which nothing runs."""
    with program("doctor", folder=folder) as doctor:
        doctor.ended()
        return f"$ python cli.py doctor\n{doctor.seen.text()}\n".replace(sys.executable, ".venv/bin/python")


def program(*arguments: str, folder: Path, **environment: str) -> OnPty:
    """`cli.py`, which remembers nothing of what was typed before."""
    settings = {"XDG_STATE_HOME": str(folder), **environment}
    return OnPty([sys.executable, "cli.py", *arguments], ROOT, settings, COLUMNS, ROWS)


if __name__ == "__main__":
    sys.exit(main())
