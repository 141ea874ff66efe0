"""Downloads of models by an Ollama server: what it says of them, and how far they are."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

from backends.base import BackendFailed, Loading
from backends.calls import Call
from backends.fields import JsonObject, positive
from backends.http import error_text
from backends.ollama.client import OllamaClient
from backends.ollama.errors import pull_failed, told
from backends.patience import Patience

_STATUS = {
    "pulling manifest": "Looking the model up",
    "verifying sha256 digest": "Checking the download",
    "writing manifest": "Finishing the download",
    "removing any unused layers": "Finishing the download",
    "removing unused layers": "Finishing the download",
}


async def pull(client: OllamaClient, model: str, *, insecure: bool, timeout: float) -> AsyncGenerator[Loading, None]:
    """Have `model` downloaded. Raises a BackendError.

    `insecure`: from a registry without TLS. `timeout`: seconds of silence, such as the checking of a large file.
    Closing the generator ends the download; what it has fetched stays, and the next one goes on from there.
    """
    progress = PullProgress(model)
    call = Call("/api/pull", {"model": model, "stream": True, "insecure": insecure})
    with told(model):
        async with aclosing(client.lines(call, Patience(timeout, timeout))) as lines:
            async for line in lines:
                if line is None:
                    continue
                if line.get("error"):
                    raise pull_failed(error_text(line), model)
                yield progress.feed(line)
    if not progress.succeeded:
        raise BackendFailed(f"The download of {model} ended early. Load it again: it goes on where it stopped.")


class PullProgress:
    """Folds the lines of a download into `Loading`: the sum over its layers, of those known so far.

    Layers come one after another and a part may be fetched twice; neither `done` nor its share of `total` ever falls.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._layers: dict[str, tuple[int, int]] = {}  # digest -> done, total
        self._share = 0.0
        self.succeeded = False

    def feed(self, line: JsonObject) -> Loading:
        status, digest = line.get("status"), line.get("digest")
        self.succeeded = self.succeeded or status == "success"
        if isinstance(digest, str):
            self._layers[digest] = (positive(line.get("completed")) or 0, positive(line.get("total")) or 0)
        total = sum(total for _, total in self._layers.values())
        fetched = sum(done for done, _ in self._layers.values())
        done = min(total, max(fetched, math.ceil(self._share * total)))
        self._share = max(self._share, done / total) if total else 0.0
        message = _STATUS.get(status, "Downloading") if isinstance(status, str) else "Downloading"
        return Loading(self._model, message, done, total)
