"""An Ollama server as a backend, over its own API."""

from backends.ollama.adapter import OllamaBackend

__all__ = ["OllamaBackend"]
