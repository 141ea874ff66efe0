"""The machine's C++ compiler: which one works, and running it without disturbing anybody. Knows nothing of kernels."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import KernelsUnavailable

CANDIDATES = ("c++", "g++", "clang++")
ADVICE = "Install one, on Debian or Ubuntu with: sudo apt-get install g++"
_POLL = 0.02  # seconds
_NICENESS = "10"  # whoever computes answers meanwhile comes first
_LONGEST_COMPLAINT = 200  # characters
# Where there is one, the static form of the C++ library makes the kernels load beside any other version of it.
_LINKING = (("-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL"), ())
_TRIAL = """#include <condition_variable>
#include <thread>
#include <vector>
extern "C" int trial(int count) { return int(std::vector<std::thread>(count).size()); }
"""


@dataclass(slots=True, frozen=True)
class Compiler:
    """A compiler that has made a library here."""

    command: tuple[str, ...]
    version: str  # all that it says about itself
    linking: tuple[str, ...]  # further options for the last step

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.version} {self.linking}".encode()).hexdigest()[:8]

    @property
    def title(self) -> str:
        """Its name and version in one line."""
        return self.version.partition("\n")[0].strip()


@dataclass(slots=True)
class Patience:
    """How long the work may take, and a way to end it before."""

    seconds: float
    stopped: threading.Event = field(default_factory=threading.Event)
    _began: float = field(default_factory=time.monotonic)

    def wait(self, seconds: float) -> None:
        """Wait so long. Raises KernelsUnavailable when it is time to give up."""
        if self.stopped.wait(seconds):
            raise KernelsUnavailable("The work was stopped.")
        if time.monotonic() - self._began > self.seconds:
            raise KernelsUnavailable(f"It was not done after {self.seconds:.0f} s.")


def find_compiler(folder: Path, patience: Patience) -> Compiler:
    """The first compiler that works: the one that CXX names, or else a usual one. `folder` is for its trials.

    Raises KernelsUnavailable.
    """
    named = shlex.split(os.environ.get("CXX", ""))
    complaint = ""
    for command in [named] if named else [[name] for name in CANDIDATES]:
        if shutil.which(command[0]) is None:
            continue
        try:
            return _try_out(tuple(command), folder, patience)
        except KernelsUnavailable as error:
            complaint = complaint or str(error)
    if complaint:
        raise KernelsUnavailable(complaint)
    missing = f"There is no compiler {named[0]}, which CXX names." if named else "There is no C++ compiler here."
    raise KernelsUnavailable(f"{missing} {ADVICE}")


def run_all(commands: Sequence[Sequence[str]], folder: Path, patience: Patience, *, at_once: int = 1) -> list[str]:
    """Run `commands`, some side by side, at low priority. What each printed, in their order.

    Raises KernelsUnavailable as soon as one fails or patience ends; then none is left running.
    """
    waiting = deque(enumerate(commands))
    running: dict[int, subprocess.Popen[bytes]] = {}
    printed = [""] * len(commands)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                index, command = waiting.popleft()
                running[index] = _start(command, folder / f"output.{index}")
            for index in [index for index, process in running.items() if process.poll() is not None]:
                printed[index] = (folder / f"output.{index}").read_text(errors="replace")
                _check(commands[index], running.pop(index).returncode, printed[index])
            if running:
                patience.wait(_POLL)
    finally:
        for process in running.values():
            _end(process)
    return printed


def _try_out(command: tuple[str, ...], folder: Path, patience: Patience) -> Compiler:
    [version] = run_all([[*command, "--version"]], folder, patience)
    source = folder / "trial.cpp"
    source.write_text(_TRIAL)
    make = [*command, "-std=c++17", "-fPIC", "-shared", "-pthread", str(source), "-o", str(folder / "trial.so")]
    for linking in _LINKING[:-1]:
        with contextlib.suppress(KernelsUnavailable):
            run_all([[*make, *linking]], folder, patience)
            return Compiler(command, version, linking)
    run_all([[*make, *_LINKING[-1]]], folder, patience)
    return Compiler(command, version, _LINKING[-1])


def _start(command: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    niceness = ["nice", "-n", _NICENESS] if shutil.which("nice") else []
    try:
        with output.open("wb") as file:
            return subprocess.Popen(
                [*niceness, *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,  # so that what it starts can be ended with it
            )
    except OSError as error:
        raise KernelsUnavailable(f"{command[0]} cannot be run: {error.strerror}.") from error


def _check(command: Sequence[str], status: int, printed: str) -> None:
    if status == 0:
        return
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()] or lines or [f"exit status {status}"]
    raise KernelsUnavailable(f"{Path(command[0]).name} failed: {telling[0][:_LONGEST_COMPLAINT]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
