"""The adapter to Ollama before our own server, which speaks that API too: what every backend promises holds there."""

from __future__ import annotations

import pytest

from backends.base import BackendFailed, Loading, ModelNotFound
from backends.ollama import OllamaBackend
from tests.backends.asking import loadings_of
from tests.backends.contract import Contract, Subject
from tests.backends.openai.double import SYSTEM

OURS = "pytorch/smollm2-135m-instruct:latest"


@pytest.fixture(scope="session")
def subject(ours: str) -> Subject:
    return Subject("ours", lambda: OllamaBackend(ours), model=OURS, system=SYSTEM)


class TestContract(Contract):
    """Kept by our own server."""


def test_what_is_known_of_a_model_comes_through(subject: Subject) -> None:
    (found,) = subject.run(lambda backend: backend.list_models())
    assert (found.name, found.quantization, found.context_length) == (OURS, "Q4_1", 8192)
    assert 90_000_000 < (found.size or 0) < 110_000_000


def test_a_model_that_is_here_loads_and_another_does_not(subject: Subject) -> None:
    assert subject.run(lambda backend: loadings_of(backend, OURS))[-1] == Loading(OURS, "ready")
    with pytest.raises((ModelNotFound, BackendFailed), match="nosuch"):
        subject.run(lambda backend: loadings_of(backend, "nosuch"))
