"""The list of models as OpenAI's clients read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel

from server.protocol import ModelEntry

_ABSENT = ("unreachable", "failed")


class Model(BaseModel):
    """A model that can be asked. `id` is what a request says as `model`."""

    id: str
    object: Literal["model"] = "model"
    created: int  # seconds since 1970
    owned_by: str  # its backend
    max_model_len: int | None = None  # tokens of its context, by the name that vLLM gave it


class ModelList(BaseModel):
    """All models that can be asked."""

    object: Literal["list"] = "list"
    data: list[Model]

    @classmethod
    def of(cls, entries: Iterable[ModelEntry], created: int) -> ModelList:
        """Those of `entries` that answer. When a model was made is not known: `created` stands for all of them."""
        usable = (entry for entry in entries if entry.state not in _ABSENT)
        return cls(
            data=[
                Model(id=entry.name, created=created, owned_by=entry.backend, max_model_len=entry.context_length)
                for entry in usable
            ]
        )
