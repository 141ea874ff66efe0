"""The engine in this process as a backend."""

from backends.pytorch.adapter import PyTorchBackend

__all__ = ["PyTorchBackend"]
