"""Runs parts of a benchmark in Python processes of their own, and tells how far it is."""

from __future__ import annotations

import subprocess
import sys

from bench.servers import ROOT
from engine.errors import KernelsUnavailable
from engine.kernels.build import build


def run_python(*arguments: str) -> str:
    """What a Python process printed. Raises CalledProcessError."""
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def say(text: str) -> None:
    """Show progress, beside the table that comes at the end."""
    print(text, file=sys.stderr, flush=True)


def build_kernels() -> None:
    """Build the engine's kernels unless they are there: what is measured is not how it does until then."""
    try:
        build()
    except KernelsUnavailable as error:
        say(f"Measuring PyTorch's kernels, because there are none of our own: {error}")
