"""The arguments of a model's tool call as servers send them: an object, or a string of JSON. Knows no server."""

from __future__ import annotations

import json

from backends.base import BackendFailed


def unreadable_call() -> BackendFailed:
    """For a call that is no call."""
    return BackendFailed("The model called a tool in a way that cannot be read. Try again.")


def read_arguments(arguments: object) -> dict[str, object]:
    """The arguments as an object. Raises BackendFailed for what is none."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            arguments = "not JSON"
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise BackendFailed("The model called a tool with arguments that cannot be read. Try again.")
    return arguments
