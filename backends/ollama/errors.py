"""What Ollama's refusals mean, in our tree of errors and in sentences that say what to do. Does no I/O.

Ollama words the same refusal differently from version to version: a status decides before a text does. Of its own
words only those are passed on that hold no path and no address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from backends.base import (
    BackendError,
    BackendFailed,
    BackendUnreachable,
    ContextOverflow,
    ModelNotFound,
    Overloaded,
    Unsupported,
)
from backends.http import StatusError
from backends.wording import CONTEXT, MEMORY, clean

RETRY_AFTER = 5.0  # seconds, where the server does not say

_UNSUPPORTED = re.compile(r"does not support (\w+)")
_NETWORK = re.compile(r"no such host|dial tcp|connection refused|timeout|network is unreachable|EOF", re.IGNORECASE)
_DISK = re.compile(r"no space left", re.IGNORECASE)


@contextmanager
def told(model: str = "") -> Iterator[None]:
    """Let a status other than 200 leave this context as the BackendError it means."""
    try:
        yield
    except StatusError as error:
        raise refused(error, model) from error


def refused(error: StatusError, model: str) -> BackendError:
    """What a status other than 200 means for a request that named `model` ("" for none)."""
    told = _by_status(error, model) or _by_text(error.text, model)
    told.add_note(f"Ollama answered with status {error.status}: {error.text!r}")
    return told


def broke(text: str, model: str) -> BackendError:
    """What a line `{"error": text}` means. It may also be the first one, under the status 200."""
    told = _by_text(text, model)
    told.add_note(f"Ollama sent the error {text!r}")
    return told


def pull_failed(text: str, model: str) -> BackendError:
    """What an error line means when it ends a download."""
    told: BackendError
    if "file does not exist" in text or "not found" in text:
        told = ModelNotFound(f"Ollama's library has no model {model}. Check the name, or pick one from the list.")
    elif _DISK.search(text):
        told = BackendFailed(f"There is no room for {model} on the disk of the Ollama server. Free some and try again.")
    elif _NETWORK.search(text):
        told = ModelNotFound(
            f"Ollama does not have {model}, and cannot reach its library to fetch it. "
            "Check the network of its machine, or pick a model from the list."
        )
    else:
        told = BackendFailed(f"Ollama could not download {model}: {clean(text)}.")
    told.add_note(f"Ollama sent the error {text!r}")
    return told


def model_missing(model: str) -> ModelNotFound:
    """For a model the server does not have."""
    return ModelNotFound(
        f"Ollama has no model {model}. Fetch it with `ollama pull {model}`, or pick one from the list."
    )


def _by_status(error: StatusError, model: str) -> BackendError | None:
    status = error.status
    if status == 404 and model and not error.is_page:
        return model_missing(model)
    if status in (404, 405) or 300 <= status < 400:
        return BackendFailed("What answers at Ollama's address is not Ollama, or a very old one. Check OLLAMA_HOST.")
    if status == 401:
        return BackendFailed("Ollama is not signed in to its cloud. Run `ollama signin` on its machine.")
    if status == 403:
        return BackendFailed(
            "Ollama refused us: its server does not let this host in. Set OLLAMA_HOST to an address it listens on."
        )
    if status in (429, 503):
        message = "Ollama has too many requests waiting. Try again in a moment."
        return Overloaded(message, retry_after=error.retry_after or RETRY_AFTER)
    if status in (502, 504):
        return BackendUnreachable("The server in front of Ollama cannot reach it. Check that Ollama runs.")
    return None


def _by_text(text: str, model: str) -> BackendError:
    if found := _UNSUPPORTED.search(text):
        return Unsupported(f"The model {model} does not support {found[1]}. Pick another one from the list.")
    if CONTEXT.search(text):
        return ContextOverflow(f"The conversation is longer than {model} can read. Shorten it, or begin a new one.")
    if MEMORY.search(text):
        return BackendFailed(f"The Ollama server has too little memory for {model or 'the model'}. Pick a smaller one.")
    if "server busy" in text:
        return Overloaded("Ollama has too many requests waiting. Try again in a moment.", retry_after=RETRY_AFTER)
    return BackendFailed(f"Ollama failed: {clean(text)}. Try again; if it stays so, look into its log.")
