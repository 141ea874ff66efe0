"""The whole way: Ollama's words in, our hub, our adapter, and a server that answers as a real Ollama did."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from fastapi.testclient import TestClient

from backends.ollama import OllamaBackend
from tests.backends.ollama.double import OllamaDouble, trace
from tests.server.ollama.serving import inside, lines_of

MODEL = "smollm2:135m"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def double() -> Iterator[OllamaDouble]:
    with OllamaDouble().in_thread() as double:
        yield double


@pytest.fixture
def client(double: OllamaDouble) -> Iterator[TestClient]:
    with inside(OllamaBackend(double.url, options={"num_thread": 1})) as (_, client):
        yield client


def test_its_models_are_listed_with_what_it_knows_of_them(client: TestClient) -> None:
    listed = {model["name"]: model for model in client.get("/api/tags").json()["models"]}
    found = listed[f"ollama/{MODEL}"]
    assert (found["details"]["family"], found["details"]["parameter_size"]) == ("llama", "134.52M")
    assert client.post("/api/show", json={"model": MODEL}).json()["model_info"]["llama.context_length"] == 8192


def test_an_answer_comes_through_with_its_figures(client: TestClient, double: OllamaDouble) -> None:
    asked = {"model": MODEL, "messages": QUESTION, "options": {"temperature": 0}}
    *pieces, last = lines_of(client.post("/api/chat", json=asked).content)
    assert "".join(piece["message"]["content"] for piece in pieces) == "The capital of France is Paris."
    assert (last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == ("stop", 16, 8)
    assert 0 < last["eval_duration"] < last["total_duration"]
    assert double.bodies("/api/chat")[-1]["messages"] == QUESTION


def test_a_pull_comes_through(client: TestClient, double: OllamaDouble) -> None:
    double.will("/api/pull", trace("v0.5.4/pull_resumed"))
    steps = lines_of(client.post("/api/pull", json={"model": "smol:new"}).content)
    parts = [step for step in steps if "total" in step]
    assert len(parts) > 5
    assert all(early["completed"] <= late["completed"] for early, late in pairwise(parts))
    assert (parts[-1]["completed"], steps[-1]) == (parts[-1]["total"], {"status": "success"})
    assert double.bodies("/api/pull")[0]["model"] == "smol:new"


def test_a_model_is_unloaded_there(client: TestClient, double: OllamaDouble) -> None:
    told = client.post("/api/chat", json={"model": MODEL, "keep_alive": 0, "messages": []}).json()
    assert told["done_reason"] == "unload"
    assert not double.loaded
    assert client.get("/api/ps").json() == {"models": []}
