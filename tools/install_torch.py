"""Installs the build of torch that fits this machine: `python -m tools.install_torch`.

On Linux, the build that pip finds by itself usually brings several gigabytes of CUDA along. Without an NVIDIA GPU they
are of no use, so the CPU build is taken instead: uv knows where it is published. TORCH_INDEX in the environment, an
index or a folder of wheels, decides for itself. Only torch is installed here; what it needs follows with the other
pinned packages. Standard library only.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
ADVICE = "See SETUP.md, under torch, for how to name an index or a folder that has the build you want."


def pinned(requirements: Path) -> str:
    """The requirement on torch in `requirements`, such as `torch==2.13.0`."""
    match = re.search(r"^torch==\S+", requirements.read_text(), re.MULTILINE)
    assert match, f"{requirements.name} pins torch"
    return match[0]


def is_installed(requirement: str) -> bool:
    """Whether that release of torch is there, whatever its build."""
    try:
        return f"torch=={metadata.version('torch').partition('+')[0]}" == requirement
    except metadata.PackageNotFoundError:
        return False


def has_nvidia_gpu() -> bool:
    """Whether NVIDIA's driver has found a GPU on this machine."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def brings_cuda(report: str) -> bool:
    """Whether the build in pip's installation report needs CUDA's packages."""
    wanted = json.loads(report)["install"][0]["metadata"].get("requires_dist", [])
    return any(name.startswith(("nvidia-", "cuda-")) for name in wanted)


def choose(requirement: str, index: str, *, wants_cpu_build: bool) -> list[list[str]]:
    """The commands to try, in that order, each without the interpreter's name."""
    with_pip = ["pip", "--disable-pip-version-check", "install", "--no-deps", requirement]
    if index:
        return [[*with_pip, "--find-links" if Path(index).is_dir() else "--extra-index-url", index]]
    if not wants_cpu_build:
        return [with_pip]
    with_uv = ["uv", "pip", "install", "--python", sys.executable, "--no-deps", "--torch-backend=cpu", requirement]
    return [with_uv, with_pip]


def main() -> int:
    """Install torch unless it is there; the exit status of the installer that was used."""
    requirement, index = pinned(REQUIREMENTS), os.environ.get("TORCH_INDEX", "")
    if is_installed(requirement):
        return 0
    wants_cpu_build = (
        not index and platform.system() == "Linux" and not has_nvidia_gpu() and _pip_brings_cuda(requirement)
    )
    if wants_cpu_build:
        print("No NVIDIA GPU here: taking the CPU build of torch")
        _run(["pip", "--disable-pip-version-check", "install", "--quiet", "uv>=0.13"])
    first, *others = choose(requirement, index, wants_cpu_build=wants_cpu_build)
    status = _run(first)
    for command in others:
        if status:
            print(f"The CPU build cannot be had; taking the large one, several gigabytes. {ADVICE}", file=sys.stderr)
            status = _run(command)
    if status:
        print(f"torch could not be installed. {ADVICE}", file=sys.stderr)
    return status


def _pip_brings_cuda(requirement: str) -> bool:
    arguments = ["--dry-run", "--no-deps", "--ignore-installed", "--quiet", "--report", "-", requirement]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.returncode == 0 and brings_cuda(result.stdout)


def _run(command: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", *command], check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
