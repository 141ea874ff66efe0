"""An answer that was cut anywhere goes on as if it had not been: its tokens, its text, and the reason it ends for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

import pytest

from engine.llm_engine import LLMEngine
from engine.sampling_params import SamplingParams
from tests.engine.running import GREEDY, Result, ask, forget, run
from tests.tiny_model import CONTEXT, END, START

MakeEngine = Callable[..., LLMEngine]
PROMPT = [50, 60, 70, 80]
SAMPLED = SamplingParams(temperature=0.6, top_k=5, top_p=0.95, max_tokens=40, seed=1, ignore_eos=True)
WILD = SamplingParams(temperature=3.0, max_tokens=80, seed=7, ignore_eos=True)
SPOKEN = "né 漢字 🎉 fin 👩‍🚀 end"


@pytest.fixture(scope="module")
def plain(make_engine: MakeEngine) -> LLMEngine:
    """One that gives a token a step."""
    return make_engine(speculation=False)


def go_on(engine: LLMEngine, prompt: list[int], resumed: list[int], params: SamplingParams) -> Result:
    forget(engine)
    engine.add_request("resumed", prompt, params, resumed=resumed)
    return run(engine)["resumed"]


def texts_after(whole: Result) -> list[str]:
    """The text after no token of `whole`, after one, and so on; each of its steps gave one token."""
    assert all(len(output.new_token_ids) == 1 for output in whole.outputs)
    return list(accumulate((output.text for output in whole.outputs), initial=""))


def assert_goes_on_from_everywhere(
    engine: LLMEngine, whole: Result, prompt: list[int], params: SamplingParams, every: int = 1
) -> None:
    before = texts_after(whole)
    for cut in range(0, len(whole.tokens) + 1, every):
        rest = go_on(engine, prompt, whole.tokens[:cut], params)
        assert whole.tokens[:cut] + rest.tokens == whole.tokens, f"cut after {cut} tokens"
        assert before[cut] + rest.text == whole.text, f"cut after {cut} tokens"
        assert rest.finish_reason == whole.finish_reason, f"cut after {cut} tokens"
        assert engine.stats().blocks_used == 0


def speaking(engine: LLMEngine, text: str, monkeypatch: pytest.MonkeyPatch, *, end: bool = True) -> None:
    """Let the engine's model say `text` to a prompt of one token, a byte at a time, and then end."""
    script = [*engine.tokenizer.encode(text), END]
    monkeypatch.setattr(engine, "_sample", lambda _, picks: [script[pick.position - 1] for pick in picks])


@pytest.mark.parametrize("path", ["fast", "eager"])
@pytest.mark.parametrize("speculation", [True, False], ids=["guessing", "plain"])
@pytest.mark.parametrize("params", [GREEDY, SAMPLED, WILD], ids=["greedy", "sampled", "wild"])
def test_an_answer_goes_on_from_everywhere(
    make_engine: MakeEngine, path: str, speculation: bool, params: SamplingParams
) -> None:
    whole = ask(make_engine(dtype_path=path, speculation=False), PROMPT, params)
    engine = make_engine(dtype_path=path, speculation=speculation)
    assert_goes_on_from_everywhere(engine, whole, PROMPT, params, every=1 if params is GREEDY else 7)


def test_characters_of_several_tokens_are_cut_anywhere(plain: LLMEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    speaking(plain, SPOKEN, monkeypatch)
    params = replace(GREEDY, max_tokens=200, ignore_eos=False)
    whole = ask(plain, [100], params)
    assert (whole.text, whole.finish_reason) == (SPOKEN, "stop")
    assert any(not output.text for output in whole.outputs[:-1]), "no character took more than one token"
    assert_goes_on_from_everywhere(plain, whole, [100], params)


@pytest.mark.parametrize("stop", ["🎉 fin", "fin!", "字 🎉", " end", "\N{WOMAN}\N{ZERO WIDTH JOINER}x"])
def test_what_may_be_a_stop_string_is_known_after_a_cut(
    plain: LLMEngine, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    """Some are in the text, of others only the beginning is."""
    speaking(plain, SPOKEN, monkeypatch)
    params = replace(GREEDY, max_tokens=200, ignore_eos=False, stop=("\0never", stop))
    whole = ask(plain, [100], params)
    assert whole.text == SPOKEN.split(stop)[0]
    assert_goes_on_from_everywhere(plain, whole, [100], params)


@pytest.mark.parametrize("limit", range(1, 12))
def test_an_answer_that_ends_inside_a_character_ends_there_after_a_cut(
    plain: LLMEngine, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    speaking(plain, "né 漢字", monkeypatch)
    params = replace(GREEDY, max_tokens=limit, stop=("n\0",))
    whole = ask(plain, [100], params)
    assert whole.finish_reason == "length"
    assert_goes_on_from_everywhere(plain, whole, [100], params)


def test_a_long_prompt_and_answer_are_read_in_chunks(make_engine: MakeEngine) -> None:
    """What was written is read as the prompt is, and how far that is shows."""
    prompt, params = [9, 8, 7] * 40, replace(SAMPLED, max_tokens=150)
    whole = ask(make_engine(speculation=False), prompt, params)
    engine = make_engine(max_tokens_per_step=32)
    rest = go_on(engine, prompt, whole.tokens[:100], params)
    assert whole.tokens[:100] + rest.tokens == whole.tokens
    assert [output.prefilled for output in rest.outputs][:7] == [32, 64, 96, 128, 160, 192, 220]
    assert {output.prefilled for output in rest.outputs[7:]} == {220}
    assert {output.prompt_tokens for output in rest.outputs} == {120}


def test_what_is_still_cached_is_not_read_again(make_engine: MakeEngine) -> None:
    engine = make_engine(speculation=False)
    prompt = [9] * 40
    whole = ask(engine, prompt, replace(GREEDY, max_tokens=60))
    computed = engine.stats().tokens_computed
    engine.add_request("resumed", prompt, replace(GREEDY, max_tokens=60), resumed=whole.tokens[:50])
    rest = run(engine)["resumed"]
    assert whole.tokens[:50] + rest.tokens == whole.tokens
    assert engine.stats().tokens_computed - computed < 16 + 10
    assert {output.cached for output in rest.outputs} == {40}, "of the prompt, not of the answer"


def test_a_resumed_answer_that_gives_way_is_computed_again(make_engine: MakeEngine) -> None:
    params = replace(SAMPLED, max_tokens=50)
    expected = {seed: ask(make_engine(), [50, 60, seed], replace(params, seed=seed)) for seed in range(5)}
    engine = make_engine(kv_tokens=160, context_length=160)
    for seed, whole in expected.items():
        engine.add_request(f"{seed}", [50, 60, seed], replace(params, seed=seed), resumed=whole.tokens[: seed * 9])
    rest = run(engine)
    assert engine.stats().preemptions > 0
    for seed, whole in expected.items():
        assert whole.tokens[: seed * 9] + rest[f"{seed}"].tokens == whole.tokens


def test_an_answer_that_was_at_its_end_ends_at_once(make_engine: MakeEngine) -> None:
    """Nothing is computed, and others are not held up."""
    engine = make_engine()
    said = [70, 71, 72]
    engine.add_request("long", PROMPT, replace(GREEDY, max_tokens=3), resumed=said)
    engine.add_request("longer", PROMPT, replace(GREEDY, max_tokens=2), resumed=said)
    engine.add_request("ended", PROMPT, replace(GREEDY, ignore_eos=False), resumed=[70, END])
    stop = engine.tokenizer.decode(said)
    engine.add_request("stopped", PROMPT, replace(GREEDY, stop=(stop,)), resumed=said)
    engine.add_request("other", PROMPT, GREEDY)
    outputs = {output.request_id: output for output in engine.step()}
    reasons = {name: output.finish_reason for name, output in outputs.items()}
    assert reasons == {"long": "length", "longer": "length", "ended": "stop", "stopped": "stop", "other": None}
    assert all(not (outputs[name].text or outputs[name].new_token_ids) for name in reasons if name != "other")
    assert engine.request_ids() == ["other"]


def test_an_answer_at_its_end_is_work_to_do_until_it_is_told(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.add_request("over", PROMPT, replace(GREEDY, max_tokens=1), resumed=[70])
    assert engine.has_work()
    assert [output.request_id for output in engine.step()] == ["over"]
    assert not engine.has_work()
    engine.add_request("gone", PROMPT, replace(GREEDY, max_tokens=1), resumed=[70])
    engine.abort("gone")
    assert not engine.has_work()
    assert engine.step() == []


def test_an_answer_longer_than_the_context_ends_by_length(make_engine: MakeEngine) -> None:
    engine = make_engine(context_length=64)
    for size in (60, 61, 400):
        rest = go_on(engine, PROMPT, [70] * size, replace(GREEDY, max_tokens=CONTEXT))
        assert (rest.finish_reason, rest.tokens, rest.text) == ("length", [], "")
    assert len(go_on(engine, PROMPT, [70] * 59, replace(GREEDY, max_tokens=CONTEXT)).tokens) == 1


@pytest.mark.parametrize(
    ("resumed", "n", "sentence"),
    [([70], 2, "Only one answer"), ([259], 1, "token id that the model does not have"), ([-1], 1, "token id")],
)
def test_what_cannot_be_resumed_is_refused(plain: LLMEngine, resumed: list[int], n: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        plain.add_request("r", PROMPT, GREEDY, n=n, resumed=resumed)
    assert not plain.has_work()


def test_control_tokens_in_an_answer_have_no_text_after_a_cut_either(
    plain: LLMEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = [70, START, 71, 72]
    monkeypatch.setattr(plain, "_sample", lambda _, picks: [script[pick.position - 1] for pick in picks])
    params = replace(GREEDY, max_tokens=4)
    assert_goes_on_from_everywhere(plain, ask(plain, [100], params), [100], params)


@pytest.mark.parametrize(("begun", "text"), [(True, " wörld"), (False, "wörld")])
def test_the_space_before_what_is_written_is_known_after_a_cut(
    plain: LLMEngine, monkeypatch: pytest.MonkeyPatch, begun: bool, text: str
) -> None:
    monkeypatch.setattr(plain.tokenizer._text_model, "begins_with_space", True)
    speaking(plain, "wörld", monkeypatch)  # encoding puts the space in front
    params = replace(GREEDY, max_tokens=20, ignore_eos=False)
    for cut, before in ((0, ""), (1, text[: len(text) - 5]), (3, text[: len(text) - 4]), (4, text[: len(text) - 3])):
        said = plain.tokenizer.encode("wörld")[:cut]
        plain.add_request("r", [100], params, begun=begun, resumed=said)
        assert before + run(plain)["r"].text == text


def test_the_embedded_model_goes_on_from_anywhere(embedded_engine: LLMEngine) -> None:
    prompt = embedded_engine.tokenizer.encode_chat(
        [{"role": "user", "content": "Name three rivers, with an emoji each."}]
    )
    for params in (
        SamplingParams(temperature=0, max_tokens=40),
        SamplingParams(temperature=0.8, top_p=0.95, top_k=40, seed=11, max_tokens=40),
    ):
        whole = ask(embedded_engine, prompt, params)
        for cut in (0, 1, 7, 16, 33, len(whole.tokens)):
            rest = go_on(embedded_engine, prompt, whole.tokens[:cut], params)
            assert whole.tokens[:cut] + rest.tokens == whole.tokens
            assert whole.text.endswith(rest.text)
            assert rest.finish_reason == whole.finish_reason
