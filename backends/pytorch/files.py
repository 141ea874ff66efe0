"""The model files in a folder: which names they have, and which file a name stands for.

A name is looked up in what the folder holds and is never made into a path, so no name leads out of the folder.
Knows nothing of what is in a file: `describe` reads that, once for each state of the file.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

from backends.base import ModelInfo

_QUANTIZATION = re.compile(r"[.-](I?Q\d\w*|B?F16|F32|MXFP4|TQ\d\w*)$", re.IGNORECASE)
_MOST_FILES = 1000
_ADVISED_TEMPERATURES = {"smollm2-": 0.2}  # by the beginning of a model's name, as its model card says

Describe = Callable[[Path], ModelInfo]


def model_name(path: Path) -> str:
    """What a model is called: its file's name without suffix and quantization, in lower case."""
    return _QUANTIZATION.sub("", path.name.removesuffix(".gguf")).lower()


def quantization(path: Path) -> str | None:
    """The quantization that a file's name ends with."""
    found = _QUANTIZATION.search(path.name.removesuffix(".gguf"))
    return found[1] if found else None


def advised_temperature(path: Path) -> float | None:
    """The temperature that the model's makers advise, where one is known: small models ramble at the usual one."""
    name = model_name(path)
    return next((value for start, value in _ADVISED_TEMPERATURES.items() if name.startswith(start)), None)


class ModelFiles:
    """The `*.gguf` files of a folder, in the order of their names."""

    def __init__(self, folder: Path, describe: Describe) -> None:
        self._folder = folder
        self._describe = describe
        self._known: dict[Path, tuple[tuple[int, int], ModelInfo | None]] = {}

    def scan(self) -> dict[str, tuple[Path, ModelInfo]]:
        """The usable files by model name. Reads only what has changed; of two files with one name the first counts."""
        files: dict[str, tuple[Path, ModelInfo]] = {}
        known: dict[Path, tuple[tuple[int, int], ModelInfo | None]] = {}
        for path, state in self._candidates():
            entry = self._known.get(path)
            known[path] = entry if entry is not None and entry[0] == state else (state, self._read(path))
            info = known[path][1]
            if info is not None:
                files.setdefault(info.name, (path, info))
        self._known = known
        return files

    def _candidates(self) -> list[tuple[Path, tuple[int, int]]]:
        """Plain files that lie in the folder, links within it included, with modification time and size."""
        try:
            root = self._folder.resolve(strict=True)
            entries = sorted(root.glob("*.gguf"))[:_MOST_FILES]
        except OSError:
            return []
        found = []
        for entry in entries:
            try:
                path = entry.resolve(strict=True)
                status = path.stat()
            except (OSError, RuntimeError):  # gone, unreadable, or a loop of links
                continue
            if stat.S_ISREG(status.st_mode) and path.is_relative_to(root):
                found.append((entry, (status.st_mtime_ns, status.st_size)))
        return found

    def _read(self, path: Path) -> ModelInfo | None:
        try:
            return self._describe(path)
        except OSError:
            return None
