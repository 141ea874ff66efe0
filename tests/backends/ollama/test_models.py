import pytest

from backends.ollama.models import (
    Facts,
    canonical,
    entries,
    facts_of_entry,
    facts_of_show,
    is_model_name,
    model_info,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [("smollm2", "smollm2:latest"), ("SmolLM2:135M", "smollm2:135m"), ("host:5000/a/b", "host:5000/a/b:latest")],
)
def test_a_model_has_several_names(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize("name", ["gemma:2b", "hf.co/user/model-GGUF:Q4_K_M", "127.0.0.1:5000/library/a:b", "a"])
def test_names_that_ollama_knows_are_names(name: str) -> None:
    assert is_model_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "a b", "../../etc/passwd", "/etc/passwd", "http://a/b", "a\r\nb", "a\x00", "x" * 300, "naïve", "a:b:c", "a/"],
)
def test_other_text_is_no_name(name: str) -> None:
    assert not is_model_name(name)


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"models": None}, {"models": {}}, {"models": [None, {}, {"name": ""}, {"name": 5}]}]
)
def test_a_list_without_models_is_empty(answer: object) -> None:
    assert entries(answer) == []


def test_an_entry_may_say_nothing_but_its_name() -> None:
    info = model_info({"model": "x", "details": None}, Facts(), running=None, num_ctx=None)
    assert (info.name, info.state, info.size, info.quantization) == ("x", "available", None, None)
    assert info.capabilities == ("completion",)


def test_a_model_of_the_cloud_is_marked_and_ready() -> None:
    entry = {"name": "gpt-oss:120b-cloud", "remote_host": "https://cloud.example", "size": 384}
    info = model_info(entry, facts_of_show({"capabilities": ["completion", "thinking"]}), running=None, num_ctx=None)
    assert info.state == "ready"
    assert info.size is None
    assert info.capabilities == ("completion", "thinking", "cloud")


def test_a_newer_list_tells_what_a_model_can_do() -> None:
    entry = {"name": "x", "capabilities": ["completion", "thinking"], "details": {"context_length": 32768}}
    assert facts_of_entry(entry) == Facts(("completion", "thinking"), 32768)
    assert facts_of_entry({"name": "x"}) is None


@pytest.mark.parametrize("shown", [None, [], {}, {"model_info": None}, {"capabilities": "all", "parameters": 5}])
def test_a_model_may_be_shown_without_anything(shown: object) -> None:
    assert facts_of_show(shown) == Facts(continues=False)


@pytest.mark.parametrize(
    ("shown", "continues"),
    [
        ({"template": "{{ .System }}[INST] {{ .Prompt }} [/INST]"}, True),
        ({"template": "{{ .Prompt }}<|assistant|>{{ .Response }}<|end|>"}, True),
        ({"template": "{{ .Prompt }}", "modelfile": "FROM x\nRENDERER qwen3\n"}, False),
        ({"template": "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>{{ end }}"}, False),
        (
            {"template": "{{ range $i, $_ := .Messages }}{{ .Content }}{{ if not $last }}<|end|>{{ end }}{{ end }}"},
            True,
        ),
        ({"template": "{{ .Messages }}{{- if not (and $last (eq .Role `assistant`)) }}<|end|>{{ end }}"}, True),
        ({"template": "{{ .Messages }}{{ if not .Tools }}{{ if $last }}<|end|>{{ end }}{{ end }}"}, False),
        ({"template": "{{ .Prompt }}", "remote_host": "https://cloud.example"}, False),
        ({"template": ""}, False),
        ({"template": 5}, False),
    ],
)
def test_a_template_tells_whether_an_answer_can_be_gone_on_with(shown: dict[str, object], continues: bool) -> None:
    facts = facts_of_show(shown)
    assert facts.continues is continues
    assert ("continue" in model_info({"name": "x"}, facts, None, None).capabilities) is continues


@pytest.mark.parametrize(
    ("running", "num_ctx", "parameters", "context"),
    [
        (None, None, "", 8192),
        (None, 2048, "num_ctx 4096", 2048),
        (None, 32768, "", 8192),
        ({"context_length": 4096}, None, "num_ctx 1024", 4096),
        ({}, None, "temperature 1\nnum_ctx                        1024\n", 1024),
    ],
)
def test_the_context_is_what_the_server_gives_the_model(
    running: dict[str, object] | None, num_ctx: int | None, parameters: str, context: int
) -> None:
    shown = {"model_info": {"general.architecture": "llama", "llama.context_length": 8192}, "parameters": parameters}
    assert model_info({"name": "x"}, facts_of_show(shown), running, num_ctx).context_length == context
