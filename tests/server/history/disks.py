"""A small disk of one's own, to fill up."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 2 MiB at `folder`. Skips the test where none can be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("NO DISK COULD BE MOUNTED HERE, so only a full database was tested, not a full disk.")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
