"""Is everything on this machine that a server needs? Looks at files, and asks the project's own programs.

Those run in processes of their own, with the same Python: one that does not even start is a finding, not an end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from terminal.doctor.findings import Finding, broken, limited, works
from terminal.tables import bytes_

ROOT = Path(__file__).resolve().parent.parent.parent
OLDEST_PYTHON = (3, 11)
COMPILERS = ("g++", "clang++", "c++")
PATIENCE_S = 60.0
LITTLE_ROOM, NO_ROOM = 1_000_000_000, 100_000_000  # bytes
INSTALL = "`make serve` installs what is missing into .venv; or `pip install -r requirements.txt`."
SETTINGS = "import json, config; print(json.dumps(config.load_settings().effective(), default=str))"
KERNELS = "from engine.kernels.build import find; print(find() or '')"


def python() -> Finding:
    """Whether this Python is new enough."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < OLDEST_PYTHON:
        return broken("Python", f"{found} is too old.", "Install Python 3.11 or newer.")
    return works("Python", f"{found} at {sys.executable}")


def packages() -> Finding:
    """Whether what pyproject.toml names is installed for this Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[^\w.-]", dependency, maxsplit=1)[0] for dependency in project["dependencies"]]
    missing = [name for name in names if not _is_installed(name)]
    if missing:
        return broken("Packages", f"{len(missing)} of {len(names)} are missing: {', '.join(missing)}.", INSTALL)
    return works("Packages", f"all {len(names)} are installed, torch {version('torch')} among them")


def settings() -> tuple[Finding, dict[str, Any]]:
    """Whether the settings can be used; and what they are, by their names in .env. Empty where they cannot."""
    ran = _ask(SETTINGS)
    if ran.returncode == 0:
        return works("Settings", "as in .env" + _changed_settings()), json.loads(ran.stdout)
    told = ran.stderr.strip().splitlines()[-1].partition(": ")[2] if ran.stderr.strip() else "they cannot be read"
    return broken("Settings", told, "Mend the line in .env, .env.local or the environment."), {}


def model(path: str) -> Finding:
    """Whether the model that the engine serves is there. `path` is the setting MODEL_PATH."""
    file = ROOT / path
    try:
        with file.open("rb") as opened:
            magic = opened.read(4)
        size = file.stat().st_size
    except OSError as error:
        told = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        return broken("Model file", f"{path} {told}.", "`make model` fetches it (98 MB); or set MODEL_PATH.")
    if magic != b"GGUF":
        return broken("Model file", f"{path} is no GGUF file.", "Delete it, and `make model` fetches it anew.")
    return works("Model file", f"{path}, {bytes_(size)}")


def kernels(setting: str) -> Finding:
    """Whether the engine's own kernels are compiled, or could be. `setting` is KERNELS."""
    if setting == "off":
        return limited("Kernels", "KERNELS=off: PyTorch computes, more slowly.")
    ran = _ask(KERNELS)
    if ran.returncode == 0 and ran.stdout.strip():
        return works("Kernels", f"compiled, {Path(ran.stdout.strip()).name}")
    compiler = next((name for name in COMPILERS if shutil.which(name)), None)
    if compiler is not None:
        return limited("Kernels", f"not compiled yet; the server does it beside its first answers, with {compiler}.")
    return limited("Kernels", "There is no C++ compiler, so PyTorch computes, more slowly.", "Install g++ or clang++.")


def storage(database: str) -> Finding:
    """Whether conversations can be kept. `database` is the setting DATABASE_URL."""
    if database == "off":
        return limited("Conversations", "DATABASE_URL=off: they are lost when the server ends.")
    if not database.startswith("sqlite"):
        return works("Conversations", f"kept in {database}; the server says at its start whether it can be reached")
    file = ROOT / database.partition("///")[2]
    folder = next(parent for parent in (file.parent, *file.parents) if parent.exists())
    if not os.access(folder, os.W_OK) or (file.exists() and not os.access(file, os.W_OK)):
        return broken("Conversations", f"{file} cannot be written.", "Change its owner, or set DATABASE_URL.")
    there = f", {bytes_(file.stat().st_size)}" if file.exists() else ", made at the first start"
    return works("Conversations", f"kept in {_short(file)}{there}")


def room() -> Finding:
    """Whether the disk has room."""
    free = shutil.disk_usage(ROOT).free
    told = f"{bytes_(free)} free"
    if free < NO_ROOM:
        return broken("Disk", f"{told}: conversations can hardly be kept.", "Make room.")
    if free < LITTLE_ROOM:
        return limited("Disk", f"{told}: no room for another model.", "Make room before you pull one.")
    return works("Disk", told)


def _ask(code: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the project's own code beside this program."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _changed_settings() -> str:
    """Which settings the environment changes."""
    known = re.findall(r"^([A-Z_]+)=", (ROOT / ".env").read_text(), re.MULTILINE)
    changed = [name for name in known if name in os.environ]
    local = [".env.local"] if (ROOT / ".env.local").exists() else []
    return f", changed by {', '.join([*local, *changed])}" if changed or local else ""


def _short(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)
