"""The tensors of a model's file, asked for by name and checked against the shape that the model expects."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from engine.errors import ModelLoadError
from engine.loader.dequantize import DEQUANT, dequantize
from engine.loader.gguf import GGUFFile, GGUFTensor

Progress = Callable[[int, int], None]  # (bytes read, bytes in all)


class Weights:
    """Hands out a file's tensors and tells `progress` how many of their bytes have been asked for."""

    def __init__(self, file: GGUFFile, progress: Progress | None = None) -> None:
        self._file = file
        self._progress = progress
        self._total = sum(tensor.data.nbytes for tensor in file.tensors.values())
        self._done = 0

    def __contains__(self, name: str) -> bool:
        return name in self._file.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        return self._stored(name).shape

    def take(self, name: str, *shape: int) -> GGUFTensor:
        """The tensor as it is stored. Raises ModelLoadError if it is missing or not of this shape."""
        tensor = self._stored(name)
        if tensor.shape != shape:
            expected = f"it is {list(tensor.shape)} and should be {list(shape)}"
            raise ModelLoadError(f"The tensor {name} does not fit the model: {expected}.")
        if tensor.type not in DEQUANT:
            raise ModelLoadError(f"The tensor {name} is stored as {tensor.type.name}, which cannot be read.")
        self._done += tensor.data.nbytes
        if self._progress is not None:
            self._progress(self._done, self._total)
        return tensor

    def read(self, name: str, *shape: int) -> Tensor:
        """The tensor as float32, of its shape."""
        return dequantize(self.take(name, *shape))

    def _stored(self, name: str) -> GGUFTensor:
        tensor = self._file.tensors.get(name)
        if tensor is None:
            raise ModelLoadError(f"The model's file lacks the tensor {name}.")
        return tensor
