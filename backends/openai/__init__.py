"""Any server that speaks OpenAI's API as a backend."""

from backends.openai.adapter import OpenAIBackend

__all__ = ["OpenAIBackend"]
