"""Real Ollama servers for tests: laid out once, started on a free port, writing only into a folder given to them."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CACHE = ROOT / "tests" / ".ollama"  # git ignores it
WEIGHTS = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL = "smollm2:135m"
THINKER = "thinker"  # takes the words between "The" and "is" for its thinking
_THINKER_TEMPLATE = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n"
    "{{ if .Thinking }}The {{ .Thinking }} is {{ end }}{{ .Content }}<|im_end|>\n"
    "{{ end }}<|im_start|>assistant\n"
)


CONTINUER = "continuer"  # leaves the last message open when it is the assistant's
_CONTINUER_TEMPLATE = (
    "{{- range $i, $_ := .Messages }}{{- $last := eq (len (slice $.Messages $i)) 1 -}}<|im_start|>{{ .Role }}\n"
    '{{ .Content }}{{ if not (and $last (eq .Role "assistant")) }}<|im_end|>\n'
    "{{ if $last }}<|im_start|>assistant\n{{ end }}{{ end }}{{ end }}"
)


class CannotRun(Exception):
    """Why there is no real server of that version here."""


def lay_out(version: str) -> Path:
    """The folder of the server's files, made when it is not there yet. Raises CannotRun."""
    folder = CACHE / version
    if (folder / "ollama-lib").exists():
        return folder
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise CannotRun("its wheels are for Linux on x86-64")
    if shutil.which("cc") is None:
        raise CannotRun("it needs a C compiler, and cc is not installed")
    script = ["bash", str(HERE / "real.sh"), str(folder), version]
    done = subprocess.run(
        script, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True, timeout=300
    )
    if done.returncode != 0:
        *_, last = ["nothing was said", *done.stderr.strip().splitlines()]
        raise CannotRun(f"it could not be laid out: {last}")
    return folder


class RealOllama:
    """One server. `start` and `kill` may be called again and again: the port and the models stay."""

    def __init__(self, version: str, folder: Path) -> None:
        self.version = version
        self._files = lay_out(version)
        if not WEIGHTS.exists():
            raise CannotRun(f"there are no weights at {WEIGHTS.relative_to(ROOT)}")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "LD_LIBRARY_PATH": str(self._files),
            "OLLAMA_HOST": f"127.0.0.1:{self.port}",
            "OLLAMA_MODELS": str(self._folder / "models"),
            "OLLAMA_NUM_GPU": "0",
            "OLLAMA_NUM_PARALLEL": "1",
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._files / "ollama-lib", "serve"], env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Ollama {self.version} did not start: {(self._folder / 'log').read_text()[-500:]}")
            time.sleep(0.05)

    def create_models(self) -> None:
        """Make `MODEL` and `CONTINUER` from the embedded weights, and where the server can think, `THINKER`."""
        digest = f"sha256:{hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()}"
        with WEIGHTS.open("rb") as weights:
            self._post(f"/api/blobs/{digest}", weights.read())
        if self.version == "0.5.4":
            self._post("/api/create", {"model": MODEL, "modelfile": f"FROM @{digest}"})
            continuer = f'FROM {MODEL}\nTEMPLATE """{_CONTINUER_TEMPLATE}"""'
            self._post("/api/create", {"model": CONTINUER, "modelfile": continuer})
            return
        self._post("/api/create", {"model": MODEL, "files": {WEIGHTS.name: digest}})
        self._post("/api/create", {"model": CONTINUER, "from": MODEL, "template": _CONTINUER_TEMPLATE})
        self._post("/api/create", {"model": THINKER, "from": MODEL, "template": _THINKER_TEMPLATE})

    def runners(self) -> list[psutil.Process]:
        """The processes that hold models."""
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)

    def kill(self) -> None:
        """End the server and its runners as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server as its owner would."""
        self._end(signal.SIGTERM)

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        runners = self.runners()
        self._process.send_signal(sign)
        self._process.wait(timeout=20)
        for runner in runners:
            if runner.is_running():
                runner.kill()
        psutil.wait_procs(runners, timeout=10)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("HEAD", "/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _post(self, path: str, body: bytes | dict[str, object]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body))
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        if response.status >= 300 or b'"error"' in answer:
            raise RuntimeError(f"{path}: {response.status} {answer!r}")
