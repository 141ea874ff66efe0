"""What can go wrong in the engine. Every message is a sentence for the person who asked."""

from __future__ import annotations


class EngineError(Exception):
    """The engine cannot do what was asked."""


class ModelLoadError(EngineError):
    """The model's file is missing, damaged, too large or of a kind the engine does not know."""


class PromptTooLong(EngineError):
    """The prompt leaves no room in the model's context for an answer."""


class QueueFull(EngineError):
    """As many requests wait as may wait."""


class TemplateError(EngineError):
    """The model's chat template refuses the conversation, is broken, or was stopped."""


class KernelsUnavailable(EngineError):
    """The compiled kernels cannot be built or used here. PyTorch's own do the work instead."""


class GrammarError(EngineError):
    """The form that an answer is to have is not supported, takes too much, or cannot be kept."""


class ParameterError(EngineError):
    """A parameter of the request is out of its range. `field` names it."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field
