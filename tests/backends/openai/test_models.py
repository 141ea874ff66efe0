from typing import Any

import pytest

from backends.openai.client import api_url, is_elsewhere
from backends.openai.models import model_info, preferred_first, read_models


def listed(*entries: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(entries)}


@pytest.mark.parametrize(
    ("entry", "length"),
    [
        ({"id": "m"}, None),
        ({"id": "m", "max_model_len": 4096}, 4096),
        ({"id": "m", "meta": {"n_ctx_train": 8192}}, 8192),
        ({"id": "m", "meta": {"n_ctx": 2048, "n_ctx_train": 8192}}, 2048),
        ({"id": "m", "context_length": 131072}, 131072),
        ({"id": "m", "context_window": 1000, "meta": None}, 1000),
        ({"id": "m", "max_model_len": "many", "meta": []}, None),
    ],
)
def test_the_context_is_told_in_many_ways(entry: dict[str, Any], length: int | None) -> None:
    assert read_models(listed(entry))["m"].context_length == length


@pytest.mark.parametrize("answer", [None, 7, {}, {"data": None}, {"data": [None, 7, {}, {"id": ""}, {"id": 5}]}])
def test_a_list_without_models_is_empty(answer: object) -> None:
    assert read_models(answer) == {}


def test_a_bare_list_is_one_too() -> None:
    assert list(read_models([{"id": "a"}, {"id": "b"}, {"id": "a"}])) == ["a", "b"]


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ("/srv/models/SmolLM2-135M.gguf", "SmolLM2-135M.gguf"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("C:\\models\\a.gguf", "a.gguf"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("gpt-5", "gpt-5"),
    ],
)
def test_a_files_path_is_not_shown(identity: str, name: str) -> None:
    [(shown, facts)] = read_models(listed({"id": identity})).items()
    assert shown == name
    assert facts.identity == identity


def test_two_files_of_one_name_are_told_apart() -> None:
    assert list(read_models(listed({"id": "/a/m.gguf"}, {"id": "/b/m.gguf"}))) == ["/a/m.gguf", "/b/m.gguf"]


def test_models_that_say_nothing_are_not_listed() -> None:
    others = ["text-embedding-3-small", "whisper-1", "tts-1-hd", "dall-e-3", "gpt-image-1", "omni-moderation-latest"]
    entries = [{"id": name} for name in [*others, "gpt-5", "mistral-small"]]
    assert list(read_models(listed(*entries, {"id": "nomic", "type": "embeddings"}))) == ["gpt-5", "mistral-small"]


@pytest.mark.parametrize(
    ("owner", "continues"), [("vllm", True), ("sglang", True), ("llamacpp", True), ("openai", False), ("", False)]
)
def test_only_servers_that_can_are_asked_to_go_on(owner: str, continues: bool) -> None:
    [(name, facts)] = read_models(listed({"id": "m", "owned_by": owner})).items()
    assert ("continue" in model_info(name, facts, elsewhere=False).capabilities) == continues


def test_the_preferred_model_stands_first() -> None:
    known = read_models([{"id": "a"}, {"id": "b"}])
    models = [model_info(name, facts, elsewhere=True) for name, facts in known.items()]
    assert [info.name for info in preferred_first(models, "b")] == ["b", "a"]
    assert models[0].capabilities == ("completion", "cloud")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/v1"),
        ("gpu:8080", "http://gpu:8080/v1"),
        ("http://gpu:8080/v1/", "http://gpu:8080/v1"),
        ("https://api.example", "https://api.example/v1"),
        ("https://api.example/openai/v2", "https://api.example/openai/v2"),
    ],
)
def test_an_address_without_a_path_means_the_usual_one(host: str, url: str) -> None:
    assert api_url(host) == url


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="OPENAI_HOST"):
        api_url("a b")


@pytest.mark.parametrize(
    ("address", "elsewhere"),
    [
        ("http://127.0.0.1:8000/v1", False),
        ("http://[::1]:8000/v1", False),
        ("http://192.168.0.9/v1", False),
        ("http://gpu:8000/v1", False),
        ("http://gpu.local/v1", False),
        ("https://api.openai.com/v1", True),
        ("http://93.184.216.34/v1", True),
    ],
)
def test_an_address_tells_whether_words_leave_the_house(address: str, elsewhere: bool) -> None:
    assert is_elsewhere(address) == elsewhere
