"""Options of Ollama's requests: each is done, refused by its name, or told back."""

from __future__ import annotations

import pytest

from backends.base import Params
from server.ollama.errors import Refused
from server.ollama.options import HEEDED, UNHEEDED, read_options


def test_without_any_an_answer_is_sampled_as_ollama_does_it() -> None:
    assert read_options({}).params == Params(temperature=0.8, top_p=0.9, top_k=40, max_tokens=None, seed=None)


def test_a_model_whose_makers_advise_a_temperature_has_that_one_unless_another_is_asked_for() -> None:
    assert read_options({}, temperature=0.2).params.temperature == 0.2
    assert read_options({"temperature": 1}, temperature=0.2).params.temperature == 1


def test_what_shapes_the_answer_is_done() -> None:
    options = read_options(
        {
            "temperature": 0,
            "top_k": 5,
            "top_p": 0.5,
            "min_p": 0.1,
            "num_predict": 12,
            "num_ctx": 512,
            "seed": 2**60 + 1,
            "stop": ["a", "", "b"],
            "repeat_penalty": 1.1,
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
        }
    )
    assert options.params == Params(
        temperature=0,
        top_k=5,
        top_p=0.5,
        min_p=0.1,
        max_tokens=12,
        seed=2**60 + 1,
        stop=("a", "b"),
        repeat_penalty=1.1,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
    )
    assert (options.num_ctx, options.unheeded) == (512, ())


def test_less_than_nothing_is_no_limit_and_no_seed() -> None:
    options = read_options({"num_predict": -1, "seed": -1, "top_k": -1, "num_ctx": 0, "temperature": None})
    params = options.params
    assert (params.max_tokens, params.seed, params.top_k, options.num_ctx) == (None, None, 0, None)


def test_what_nobody_follows_is_told_back() -> None:
    assert read_options({"num_gpu": 1, "use_mmap": True, "whatever": {}}).unheeded == (
        "num_gpu",
        "use_mmap",
        "whatever",
    )


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("num_predict", "many", 'option "num_predict" must be of type integer'),
        ("temperature", "hot", 'option "temperature" must be of type float32'),
        ("temperature", True, 'option "temperature" must be of type float32'),
        ("use_mmap", 1, 'option "use_mmap" must be of type boolean'),
        ("stop", "a", 'option "stop" must be of type array'),
        ("stop", [1], 'option "stop" must be of an array of strings'),
        ("temperature", -1, 'option "temperature" must be at least 0.'),
        ("top_p", 2, 'option "top_p" must be from 0 to 1.'),
        ("repeat_penalty", 0, 'option "repeat_penalty" must be from 0.01 to 100.'),
        ("mirostat", 2, 'option "mirostat" is not supported here. Leave it out.'),
        ("typical_p", 0.5, 'option "typical_p" is not supported here. Leave it out.'),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(option: str, value: object, text: str) -> None:
    with pytest.raises(Refused) as refused:
        read_options({option: value})
    assert refused.value.message == text


def test_what_shapes_nothing_at_its_usual_value_is_fine() -> None:
    assert read_options({"typical_p": 1.0, "tfs_z": 1, "mirostat": 0}).unheeded == ()


@pytest.mark.parametrize("option", [*HEEDED, *UNHEEDED])
def test_every_option_has_a_type(option: str) -> None:
    with pytest.raises(Refused, match=option):
        read_options({option: {}})
