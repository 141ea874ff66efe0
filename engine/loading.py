"""From a file to everything an engine needs of a model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.computation import Computation, Plan, compute_eagerly, compute_natively
from engine.config import EngineConfig
from engine.device import choose_device
from engine.errors import KernelsUnavailable, ModelLoadError
from engine.kernels.library import find
from engine.loader.gguf import GGUFFile
from engine.loader.weights import Progress
from engine.tokenizer import Tokenizer

log = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True, eq=False)
class LoadedModel:
    """Everything an engine needs of a model. `awaits_kernels`: compiled ones would be used if they were there."""

    computation: Computation
    tokenizer: Tokenizer
    context_length: int
    awaits_kernels: bool = False


def load_model(path: Path, config: EngineConfig, progress: Progress | None = None) -> LoadedModel:
    """Load the GGUF file at `path`. Raises ModelLoadError with a sentence that says what is wrong."""
    device = choose_device(config.device)
    wants_kernels = config.dtype_path == "fast" and device.type == "cpu"
    with GGUFFile.open(path) as file, torch.inference_mode():
        plan = Plan.of(path.name, file, config)
        tokenizer = Tokenizer.from_gguf(file, config.tokenizer_path)
        if tokenizer.vocab_size > plan.dimensions.vocabulary:
            raise ModelLoadError(f"{path.name} has more tokens than the model has vectors for them.")
        computation = _natively_if_built(plan, config, progress) if wants_kernels else None
        awaits_kernels = wants_kernels and computation is None and find() is None
        computation = computation or compute_eagerly(plan, config, device, progress)
    log.info("Computing with %s", computation.title)
    return LoadedModel(computation, tokenizer, computation.model.config.context_length, awaits_kernels)


def load_native(path: Path, config: EngineConfig, library: Path, progress: Progress | None = None) -> Computation:
    """The model at `path` once more, computed by the kernels in `library`.

    Raises KernelsUnavailable if they cannot compute it, and ModelLoadError as `load_model` does.
    """
    with GGUFFile.open(path) as file, torch.inference_mode():
        return compute_natively(Plan.of(path.name, file, config), config, library, progress)


def _natively_if_built(plan: Plan, config: EngineConfig, progress: Progress | None) -> Computation | None:
    library = find()
    if library is None:
        return None
    try:
        return compute_natively(plan, config, library, progress)
    except KernelsUnavailable as error:
        log.warning("Staying on PyTorch's kernels, which are slower. %s", error)
    except ModelLoadError:
        raise
    except Exception:
        log.exception("The compiled kernels failed. Staying on PyTorch's, which are slower.")
    return None
