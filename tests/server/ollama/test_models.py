"""What is told of models, where more is known of them than their names."""

from __future__ import annotations

import pytest

from backends.base import ModelInfo
from server.ollama.models import digest, rounded
from tests.server.doubles import Puppet
from tests.server.ollama.serving import inside

TOY = ModelInfo(
    "toy",
    quantization="Q4_1",
    context_length=8192,
    temperature=0.2,
    family="llama",
    parameters=134_515_008,
    embedding_length=576,
)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (134_515_008, "134.52M"),
        (8_030_261_248, "8.0B"),
        (7 * 10**9, "7B"),
        (162_000, "162K"),
        (1_500, "1.50K"),
        (12, "12"),
    ],
)
def test_parameters_are_told_as_people_say_them(parameters: int, text: str) -> None:
    assert rounded(parameters) == text


def test_what_a_file_tells_of_a_model_is_shown() -> None:
    with inside(Puppet(TOY)) as (_, client):
        shown = client.post("/api/show", json={"model": "toy"}).json()
        listed = client.get("/api/tags").json()["models"][0]["details"]
    assert shown["model_info"] == {
        "general.architecture": "llama",
        "general.basename": "toy",
        "general.parameter_count": 134_515_008,
        "llama.embedding_length": 576,
        "llama.context_length": 8192,
    }
    assert shown["parameters"].split() == ["temperature", "0.2"]
    assert shown["details"] == listed
    assert (listed["family"], listed["families"], listed["parameter_size"]) == ("llama", ["llama"], "134.52M")


def test_what_is_not_known_is_empty() -> None:
    with inside(Puppet(ModelInfo("toy"))) as (_, client):
        shown = client.post("/api/show", json={"model": "toy"}).json()
    assert shown["model_info"] == {
        "general.architecture": "unknown",
        "general.basename": "toy",
        "general.parameter_count": 0,
        "unknown.embedding_length": 0,
        "unknown.context_length": 0,
    }
    assert shown["details"]["families"] is None


def test_a_tag_that_is_left_out_makes_no_other_digest() -> None:
    assert digest("a/b") == digest("a/b:latest") != digest("a/b", 1)
