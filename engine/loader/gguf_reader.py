"""Reads the primitive values of a GGUF file: numbers, strings, arrays, and the key-value section made of them.

Knows nothing of tensors or of what the keys mean. Everything read is taken for hostile: each length is held against
what is left of the file before anything is allocated for it, and nothing recurses on the file's content.
Source: the GGUF specification, section "File structure".
"""

from __future__ import annotations

import struct
from enum import IntEnum
from mmap import mmap
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelLoadError

MetaValue: TypeAlias = "bool | int | float | str | NDArray[np.generic] | list[str] | list[MetaValue]"

MAX_KEYS = 1 << 16
MAX_OBJECTS = 1 << 20  # strings and nested arrays in all; the largest vocabularies have 800,000 tokens and merges
MAX_NESTING = 8


class ValueType(IntEnum):
    """The type of a metadata value, by its number in the file."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


_NUMBERS: dict[ValueType, np.dtype[np.generic]] = {
    ValueType.UINT8: np.dtype("<u1"),
    ValueType.INT8: np.dtype("<i1"),
    ValueType.UINT16: np.dtype("<u2"),
    ValueType.INT16: np.dtype("<i2"),
    ValueType.UINT32: np.dtype("<u4"),
    ValueType.INT32: np.dtype("<i4"),
    ValueType.FLOAT32: np.dtype("<f4"),
    ValueType.BOOL: np.dtype("<u1"),
    ValueType.UINT64: np.dtype("<u8"),
    ValueType.INT64: np.dtype("<i8"),
    ValueType.FLOAT64: np.dtype("<f8"),
}
_SMALLEST_STRING = 8  # bytes in the file: its length
_SMALLEST_ARRAY = 12  # its items' type and their count
_SMALLEST_PAIR = 8 + 4 + 1
_UINT32 = struct.Struct("<I")
_UINT64 = struct.Struct("<Q")


class GGUFReader:
    """A position in a buffer that moves on with every value read. All methods raise ModelLoadError."""

    def __init__(self, buffer: bytes | mmap) -> None:
        self.position = 0
        self._buffer = memoryview(buffer)
        self._objects_left = MAX_OBJECTS

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._buffer) - self.position

    def close(self) -> None:
        """Let go of the buffer."""
        self._buffer.release()

    def take(self, size: int) -> memoryview:
        """The next `size` bytes, uncopied."""
        if size > self.remaining:
            raise ModelLoadError("it is cut short or damaged: a length in it points past its end.")
        start = self.position
        self.position += size
        return self._buffer[start : self.position]

    def uint32(self) -> int:
        return int(_UINT32.unpack(self.take(4))[0])

    def uint64(self) -> int:
        return int(_UINT64.unpack(self.take(8))[0])

    def string(self) -> str:
        """A length and as many bytes of UTF-8."""
        size = int.from_bytes(self.take(8), "little")
        try:
            return str(self.take(size), "utf-8")
        except UnicodeDecodeError as error:
            raise ModelLoadError("it is damaged: a text in it is not valid UTF-8.") from error

    def count(self, smallest: int) -> int:
        """How many items follow, each at least `smallest` bytes long: refused when the file cannot hold them."""
        count = self.uint64()
        if count * smallest > self.remaining:
            raise ModelLoadError(f"it is cut short or damaged: it announces {count} items, more than it can hold.")
        return count

    def pairs(self, count: int) -> dict[str, MetaValue]:
        """The key-value section."""
        if count > MAX_KEYS or count * _SMALLEST_PAIR > self.remaining:
            raise ModelLoadError(f"it is damaged: it announces {count} metadata keys.")
        pairs: dict[str, MetaValue] = {}
        for _ in range(count):
            key = self.string()
            if key in pairs:
                raise ModelLoadError(f"it is damaged: the metadata key {key[:80]!r} appears twice.")
            pairs[key] = self.value()
        return pairs

    def value(self) -> MetaValue:
        """A type and a value of that type."""
        kind = self._value_type()
        if kind is ValueType.STRING:
            return self.string()
        if kind is ValueType.ARRAY:
            return self._array()
        number = self._numbers(kind, 1)[0]
        return number.item()  # type: ignore[no-any-return]

    def _value_type(self) -> ValueType:
        number = self.uint32()
        try:
            return ValueType(number)
        except ValueError as error:
            raise ModelLoadError(f"it is damaged or too new: there is no metadata type {number}.") from error

    def _array(self) -> MetaValue:
        """An array, of arrays perhaps. Works on a list of the arrays that still miss items, the innermost last."""
        outermost: list[MetaValue] = []
        open_arrays = [(outermost, 1)]
        while open_arrays:
            items, size = open_arrays[-1]
            if len(items) == size:
                open_arrays.pop()
                continue
            kind = self._value_type()
            if kind is not ValueType.ARRAY:
                items.append(self._flat_array(kind))
                continue
            if len(open_arrays) > MAX_NESTING:
                raise ModelLoadError("it is damaged: arrays in its metadata are nested too deeply.")
            inner: list[MetaValue] = []
            items.append(inner)
            open_arrays.append((inner, self._count_objects(_SMALLEST_ARRAY)))
        return outermost[0]

    def _flat_array(self, kind: ValueType) -> NDArray[np.generic] | list[str]:
        if kind is ValueType.STRING:
            return [self.string() for _ in range(self._count_objects(_SMALLEST_STRING))]
        return self._numbers(kind, self.count(_NUMBERS[kind].itemsize))

    def _count_objects(self, smallest: int) -> int:
        """Like `count`, for items that cost more memory than bytes in the file."""
        count = self.count(smallest)
        self._objects_left -= count
        if self._objects_left < 0:
            raise ModelLoadError(f"its metadata holds more than {MAX_OBJECTS} texts.")
        return count

    def _numbers(self, kind: ValueType, count: int) -> NDArray[np.generic]:
        """A copy, so that the metadata outlives the file's mapping."""
        dtype = _NUMBERS[kind]
        numbers = np.frombuffer(bytes(self.take(count * dtype.itemsize)), dtype)
        if kind is not ValueType.BOOL:
            return numbers
        if np.any(numbers > 1):
            raise ModelLoadError("it is damaged: a truth value in it is neither 0 nor 1.")
        return numbers.view(np.bool_)
