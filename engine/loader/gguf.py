"""Opens a GGUF file: its metadata as Python values, its tensors as views into the mapped file.

Owns the layout of the file. Knows nothing about models; `dequantize.py` knows what the bytes of a tensor mean.
Source: the GGUF specification (versions 2 and 3, which differ only in that 3 allows big-endian files).

    magic "GGUF" | version u32 | tensor count u64 | pair count u64 | pairs | tensor table | padding | tensor data
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType, TracebackType

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelLoadError
from engine.loader.ggml_types import GGMLType
from engine.loader.gguf_reader import GGUFReader, MetaValue

__all__ = ["GGMLType", "GGUFFile", "GGUFTensor", "MetaValue"]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_TENSORS = 1 << 16
MAX_DIMENSIONS = 4
_SMALLEST_TENSOR_INFO = 8 + 4 + 8 + 4 + 8


@dataclass(slots=True, frozen=True, eq=False)
class GGUFTensor:
    """A tensor as the file stores it. `data` is a view of its bytes: valid as long as it is held."""

    name: str
    shape: tuple[int, ...]  # outermost dimension first, as torch has it; the file has it the other way round
    type: GGMLType
    data: NDArray[np.uint8]  # [bytes]


@dataclass(slots=True, frozen=True)
class _TensorInfo:
    """One line of the tensor table. `offset` counts from the start of the tensor data."""

    name: str
    shape: tuple[int, ...]
    type: GGMLType
    offset: int

    @property
    def size(self) -> int:
        return prod(self.shape) // self.type.block_size * self.type.block_bytes


class GGUFFile:
    """A GGUF file mapped into memory. A context manager; closing it forgets the tensors."""

    def __init__(self, mapping: mmap.mmap) -> None:
        """Read what `mapping` holds. Use `open`."""
        reader = GGUFReader(mapping)
        try:
            tensor_count, pair_count = _read_header(reader)
            pairs = reader.pairs(pair_count)
            infos = _read_tensor_table(reader, tensor_count)
            data_start = _align(reader.position, _alignment(pairs))
        finally:
            reader.close()
        _check_whole(pairs)
        _check_layout(infos, _alignment(pairs), len(mapping) - data_start)
        self._mapping = mapping
        self.metadata: Mapping[str, MetaValue] = MappingProxyType(pairs)
        self.tensors: Mapping[str, GGUFTensor] = MappingProxyType(
            {info.name: _view(mapping, info, data_start) for info in infos}
        )

    @classmethod
    def open(cls, path: str | Path) -> GGUFFile:
        """Map the file at `path` and read its head. The tensors' bytes are read from disk when they are used.

        Raises ModelLoadError, with a sentence that names the file, if it cannot be read or is not sound.
        """
        path = Path(path)
        mapping = _map_file(path)
        try:
            return cls(mapping)
        except ModelLoadError as error:
            _unmap(mapping)
            raise ModelLoadError(f"{path.name} cannot be loaded: {error}") from error

    @property
    def architecture(self) -> str:
        """The name of the model's architecture, such as `llama`. Raises ModelLoadError if the file does not say."""
        name = self.metadata.get("general.architecture")
        if not isinstance(name, str):
            raise ModelLoadError("The model's file does not say which architecture it has.")
        return name

    def close(self) -> None:
        """Forget the tensors. The memory goes back when the last view that somebody still holds is gone."""
        self.tensors = MappingProxyType({})
        _unmap(self._mapping)

    def __enter__(self) -> GGUFFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _map_file(path: Path) -> mmap.mmap:
    try:
        if not path.exists():
            raise ModelLoadError(f"There is no model file {path.name}.")
        if not path.is_file():  # opening a FIFO would wait for a writer
            raise ModelLoadError(f"{path.name} is not a file.")
        if path.stat().st_size == 0:
            raise ModelLoadError(f"{path.name} is empty.")
        with path.open("rb") as file:
            # Copy on write: nothing reaches the disk, and torch may wrap the views, as it may not with read-only ones.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelLoadError(f"{path.name} cannot be read: {reason}.") from error


def _unmap(mapping: mmap.mmap) -> None:
    with suppress(BufferError):  # somebody still holds a view: the mapping goes when the view does
        mapping.close()


def _read_header(reader: GGUFReader) -> tuple[int, int]:
    """The number of tensors and of metadata pairs."""
    if reader.remaining < len(MAGIC) or bytes(reader.take(len(MAGIC))) != MAGIC:
        raise ModelLoadError("it is not a GGUF file.")
    version = reader.uint32()
    if version not in VERSIONS:
        raise ModelLoadError(_version_problem(version))
    return reader.uint64(), reader.uint64()


def _version_problem(version: int) -> str:
    swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
    if swapped in VERSIONS:
        return "it is a big-endian GGUF file; only little-endian ones can be read."
    if version == 1:
        return "it is a GGUF file of version 1, which is obsolete; convert it anew."
    return f"it is a GGUF file of version {version}; only versions 2 and 3 can be read."


def _read_tensor_table(reader: GGUFReader, count: int) -> list[_TensorInfo]:
    if count > MAX_TENSORS or count * _SMALLEST_TENSOR_INFO > reader.remaining:
        raise ModelLoadError(f"it is damaged: it announces {count} tensors.")
    infos = [_read_tensor_info(reader) for _ in range(count)]
    if len({info.name for info in infos}) < count:
        raise ModelLoadError("it is damaged: two of its tensors have the same name.")
    return infos


def _read_tensor_info(reader: GGUFReader) -> _TensorInfo:
    name = reader.string()
    dimensions = reader.uint32()
    if dimensions > MAX_DIMENSIONS:
        raise ModelLoadError(f"it is damaged: the tensor {name[:80]!r} has {dimensions} dimensions.")
    shape = tuple(reader.uint64() for _ in range(dimensions))[::-1]
    number = reader.uint32()
    try:
        kind = GGMLType(number)
    except ValueError as error:
        raise ModelLoadError(f"the tensor {name[:80]!r} is of the unknown type {number}.") from error
    row = shape[-1] if shape else 1
    if 0 in shape or row % kind.block_size:
        raise ModelLoadError(f"it is damaged: the tensor {name[:80]!r} cannot be of shape {list(shape)}.")
    return _TensorInfo(name, shape, kind, reader.uint64())


def _alignment(pairs: Mapping[str, MetaValue]) -> int:
    """What the tensors' offsets are multiples of: a multiple of 8, says the specification, and a power of two."""
    value = pairs.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(value, int) or value < 8 or value & (value - 1):
        raise ModelLoadError("it is damaged: its alignment is not a power of two of at least 8.")
    return value


def _check_whole(pairs: Mapping[str, MetaValue]) -> None:
    """Large models are published in several files; each is a sound file with some of the tensors."""
    parts = pairs.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise ModelLoadError(f"it is one of {parts} parts of a model; join them into one file first.")


def _align(position: int, alignment: int) -> int:
    return (position + alignment - 1) // alignment * alignment


def _check_layout(infos: list[_TensorInfo], alignment: int, data_size: int) -> None:
    """The tensors lie on aligned places within the file, and no two share a byte."""
    end = 0
    for info in sorted(infos, key=lambda info: info.offset):
        if info.offset % alignment or info.offset < end:
            raise ModelLoadError(f"it is damaged: the tensor {info.name[:80]!r} is not where a tensor can be.")
        end = info.offset + info.size
        if end > data_size:
            raise ModelLoadError(f"it is cut short or damaged: the tensor {info.name[:80]!r} ends past its end.")


def _view(mapping: mmap.mmap, info: _TensorInfo, data_start: int) -> GGUFTensor:
    data = np.frombuffer(mapping, np.uint8, info.size, data_start + info.offset)
    return GGUFTensor(info.name, info.shape, info.type, data)
