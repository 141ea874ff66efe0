"""How long a start takes: `python bench/startup.py [RUNS]`.

Starts `app.py` on a free port, with the embedded model and without any in turn, and prints the seconds from the
process's start until the page answers, and until the model is ready.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WITHOUT = {"MODEL_PATH": "nowhere.gguf", "MODEL_DIR": "nowhere"}


def start_once(environment: dict[str, str]) -> tuple[float, float | None]:
    """Seconds until the page, and until a model is ready; None when none can be."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, "PORT": "0", "BACKENDS": "pytorch", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        lines = (re.search(r"http://[\d.]+:\d+", line) for line in process.stderr)
        address = next(found.group() for found in lines if found)
        with urllib.request.urlopen(address, timeout=60) as answer:
            answer.read()
        page = time.monotonic() - began
        while (state := model_state(address)) == "loading":
            time.sleep(0.02)
        return page, time.monotonic() - began if state == "ready" else None
    finally:
        process.terminate()
        process.communicate()


def model_state(address: str) -> str:
    """The state of the embedded model, as the list has it."""
    with urllib.request.urlopen(address + "/api/models", timeout=60) as answer:
        models = json.load(answer)["models"]
    return str(models[0]["state"]) if models else "loading"


def main() -> None:
    """Print one line for each kind of start."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    times: dict[str, list[tuple[float, float | None]]] = {"with the model": [], "without a model": []}
    for _ in range(runs):
        times["with the model"].append(start_once({}))
        times["without a model"].append(start_once(WITHOUT))
    for kind, results in times.items():
        page = statistics.median(page for page, _ in results)
        ready = [ready for _, ready in results if ready is not None]
        print(f"{kind:16} page {page:.2f} s" + (f", model ready {statistics.median(ready):.2f} s" if ready else ""))


if __name__ == "__main__":
    main()
