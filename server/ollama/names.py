"""Models by the names that Ollama's clients give back: `backend/name:tag`, the tag `latest` where there is none.

Names of models here are told apart by letters alone; there, `SmolLM2` and `smollm2:latest` are the same. Some clients
put the tag to every name themselves and look it up in the list, so the list has it always.
"""

from __future__ import annotations

from collections.abc import Sequence

from backends.base import ModelNotFound
from server.hub import Hub
from server.ollama.errors import Refused, not_found
from server.protocol import ModelEntry

TAG = ":latest"


def tagged(name: str) -> str:
    """The name as it is listed."""
    return name if ":" in name.rpartition("/")[2] else name + TAG


def same(one: str, other: str) -> bool:
    """Whether two names mean the same."""
    return tagged(one).casefold() == tagged(other).casefold()


def find(entries: Sequence[ModelEntry], name: str) -> ModelEntry | None:
    """The model that `name` means: with its backend in front, or the first one that is called so."""
    for entry in entries:
        if same(entry.name, name):
            return entry
    return next((entry for entry in entries if same(entry.name.partition("/")[2], name)), None)


async def resolve(hub: Hub, name: str) -> ModelEntry:
    """The model that `name` means, as the hub lists it. Raises Refused where there is none, or a BackendError."""
    if (entry := find(hub.models().models, name)) is not None:
        return entry
    try:
        full = await hub.resolve(name)  # asks the backends once more
    except ModelNotFound:
        full = name
    if (entry := find(hub.models().models, full)) is not None:
        return entry
    raise Refused(not_found(name), 404)
