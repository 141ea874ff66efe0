"""What the engine asks of a model, however it computes."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from engine.kv_cache import KVCache
from engine.models.config import LlamaConfig
from engine.sampler import Sampler
from engine.step import StepInput
from engine.step_cost import StepCost


class Model(Protocol):
    """Computes steps. Which tokens are in a step, and which cache block is whose, is decided elsewhere."""

    @property
    def config(self) -> LlamaConfig: ...

    @property
    def step_cost(self) -> StepCost:
        """What a step costs by its rows."""
        ...

    def make_cache(self, blocks: int) -> KVCache:
        """A cache in the form that `forward` works on, for `blocks * BLOCK` positions."""
        ...

    def make_sampler(self) -> Sampler:
        """What picks tokens from this model's logits."""
        ...

    def forward(self, step: StepInput, cache: KVCache) -> Tensor:
        """Compute the step's tokens, keeping their keys and values in `cache`.

        Returns the logits of the wanted rows, float32 [wanted, vocabulary], on the model's own device.
        """
        ...
