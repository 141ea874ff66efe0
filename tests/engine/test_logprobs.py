"""Log probabilities are those of the model itself, to the precision of its logits, on every device and in any batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.llm_engine import LLMEngine
from engine.logprobs import TokenScore, score, score_on_device
from engine.sampling_params import SamplingParams
from tests.engine.running import SAMPLED, Result, run, watched_logits

MakeEngine = Callable[..., LLMEngine]
PROMPT = [50, 60, 70, 80]
BENT = replace(SAMPLED, logprobs=3, frequency_penalty=1.0, repeat_penalty=1.2, logit_bias=((5, 4.0), (6, -100.0)))


def logits(vocabulary: int = 49_152) -> Tensor:
    return torch.randn(3, vocabulary, generator=torch.Generator().manual_seed(1)) * 5


def scores_of(result: Result) -> list[TokenScore]:
    return [one for output in result.outputs for one in output.logprobs or ()]


def test_they_are_the_log_softmax() -> None:
    rows, tokens = logits(), [1, 700, 49_151]
    expected = torch.log_softmax(rows.double(), dim=1)
    for row, one in enumerate(score(rows, tokens, 5)):
        values, ids = expected[row].topk(5)
        assert one.token_id == tokens[row]
        assert one.logprob == pytest.approx(float(expected[row, tokens[row]]), abs=1e-5)
        assert [token for token, _ in one.top] == ids.tolist()
        assert [logprob for _, logprob in one.top] == pytest.approx(values.tolist(), abs=1e-5)


@pytest.mark.parametrize("top", [0, 1, 7, 400])
@pytest.mark.parametrize("vocabulary", [1, 300, 49_152])
def test_a_device_finds_the_same(top: int, vocabulary: int) -> None:
    rows = logits(vocabulary)
    for here, there in zip(score(rows, [0, 0, 0], top), score_on_device(rows, [0, 0, 0], top), strict=True):
        assert [token for token, _ in here.top] == [token for token, _ in there.top]
        assert here.logprob == pytest.approx(there.logprob, abs=1e-5)
        assert [one for _, one in here.top] == pytest.approx([one for _, one in there.top], abs=1e-5)


@pytest.mark.parametrize("path", ["fast", "eager", "reference"])
def test_they_are_told_of_the_model_and_not_of_what_is_done_to_its_logits(make_engine: MakeEngine, path: str) -> None:
    engine = make_engine(dtype_path=path, speculation=False)
    engine.add_request("bent", PROMPT, BENT)
    bent = run(engine)["bent"]
    whole: dict[str, Result] = {}
    with watched_logits(engine, whole):
        engine.add_request("read", [*PROMPT, *bent.tokens[:-1]], SamplingParams(temperature=0, max_tokens=1))
        engine.add_request("again", PROMPT, replace(BENT, logprobs=None))
        run(engine, whole)
    assert whole["again"].tokens == bent.tokens, "to be asked for them changes nothing"
    last = torch.log_softmax(whole["read"].logits[0].double(), dim=0)
    told = scores_of(bent)
    assert [one.token_id for one in told] == bent.tokens
    assert told[-1].logprob == pytest.approx(float(last[bent.tokens[-1]]), abs=1e-5)
    assert [token for token, _ in told[-1].top] == last.topk(3).indices.tolist()


def test_they_are_the_same_bits_with_guesses_in_a_crowd_and_for_every_choice(make_engine: MakeEngine) -> None:
    params = replace(BENT, temperature=0.5, max_tokens=50, presence_penalty=-2.0, frequency_penalty=-1.0)
    plain = make_engine(speculation=False)
    plain.add_request("a", PROMPT, params, n=2)
    alone = run(plain)
    crowded = make_engine(kv_tokens=80, context_length=80)
    for name in ("a", "b", "c"):
        crowded.add_request(name, PROMPT, params, n=2)
    together = run(crowded)
    stats = crowded.stats()
    assert stats.preemptions > 0
    assert stats.drafts_accepted > 0
    for name, result in together.items():
        assert scores_of(result) == scores_of(alone["a.1" if name.endswith(".1") else "a"])
