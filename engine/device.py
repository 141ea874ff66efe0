"""Where to compute, and how much memory is free there."""

from __future__ import annotations

import ctypes
import logging
import os
from contextlib import suppress
from pathlib import Path

import torch

from engine.config import EngineConfig

log = logging.getLogger(__name__)
GIB = 1 << 30
_CGROUP = Path("/sys/fs/cgroup")


def choose_device(wanted: str) -> torch.device:
    """The device of that name; for "auto" the first there is of CUDA, Apple's GPU and the processor. Logs which."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    log.info(_describe(wanted))
    return torch.device(wanted)


def _describe(name: str) -> str:
    if name == "cuda":
        properties = torch.cuda.get_device_properties(0)
        return f"Using CUDA: {properties.name} ({properties.total_memory / GIB:.0f}GB)"
    return "Using MPS (Apple Silicon)" if name == "mps" else "Using CPU"


def use_threads(count: int) -> None:
    """Let PyTorch's operations on the calling thread compute on so many threads."""
    torch.set_num_threads(count)


def count_threads(config: EngineConfig) -> int:
    """On how many threads to compute: one a core that this process may use unless `config` says how many."""
    return config.threads or count_cores()


def return_freed_memory() -> None:
    """Give back to the system what has been freed and the C library keeps for later, as glibc does. Takes moments."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def count_cores(cgroup: Path = _CGROUP) -> int:
    """The cores whose time this process may use up, as the system and its container allow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _cores_of_cgroup(cgroup) or cores)


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be taken on `device`, or None where that cannot be known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info()[0]
    limits = [size for size in (_available(), _left_of_cgroup()) if size is not None]
    return min(limits) if limits else None


def _cores_of_cgroup(cgroup: Path) -> int | None:
    """How many threads the container's share of time keeps busy, where there is one (control groups, version 2).

    Rounded down: threads that wait for each other stand still together when the share is used up.
    """
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _left_of_cgroup() -> int | None:
    """What the container's limit leaves, where there is one (control groups, version 2)."""
    root = _CGROUP
    try:
        limit, used = (root / "memory.max").read_text().strip(), int((root / "memory.current").read_text())
        cached = dict(line.split() for line in (root / "memory.stat").read_text().splitlines()).get("file", "0")
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) - used + int(cached)
