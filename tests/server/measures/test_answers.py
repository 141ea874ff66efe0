from __future__ import annotations

import pytest

from backends.base import Done, Event, Progress, Reasoning, Text, Timings, Usage
from server.measures.answers import MAX_MODELS, NO_MODEL, OTHERS, AnswerMeasures, ModelMeasures
from server.measures.distribution import Distribution
from tests.server.doubles import ManualClock


def followed(*steps: float | Event) -> tuple[AnswerMeasures, ModelMeasures]:
    """The measures of one answer: its events, and the seconds that pass between them."""
    clock = ManualClock()
    measures = AnswerMeasures(clock)
    watch = measures.began()
    watch.answers("toy/one")
    for step in steps:
        if isinstance(step, float):
            clock.advance(step)
        else:
            watch.saw(step)
    watch.ended()
    return measures, measures.models["toy/one"]


def seen(distribution: Distribution) -> tuple[float, float]:
    """How many values, and their sum."""
    return distribution.buckets()[-1][1], pytest.approx(distribution.sum)


def test_an_answer_is_measured_from_the_request_to_its_end():
    _, model = followed(
        0.5,
        Progress("prefill"),
        0.25,
        Reasoning("hm", (1,)),
        0.125,
        Text("a", (2,)),
        0.25,
        Text("b", (3,)),
        0.125,
        Done("stop", Usage(prompt_tokens=7, completion_tokens=3), Timings(queued_ms=40.0)),
    )
    assert seen(model.first_token) == (1, 0.75)
    assert seen(model.between_tokens) == (2, 0.375)
    assert seen(model.per_token) == (1, 0.1875)
    assert seen(model.whole) == (1, 1.25)
    assert seen(model.queued) == (1, 0.04)
    assert (model.prompt_tokens, model.generated_tokens, model.active) == (7, 3, 0)
    assert model.finished == {"stop": 1}
    assert (model.cancelled, model.failed) == (0, {})


def test_tokens_that_come_together_share_the_time_they_took():
    _, model = followed(Text("a", (1,)), 0.75, Text("bcd", (2, 3, 4)), Done("length", Usage(completion_tokens=4)))
    assert seen(model.between_tokens) == (3, 0.75)
    assert seen(model.per_token) == (1, 0.25)


def test_an_answer_of_one_token_after_thinking_that_counts_for_none_has_no_time_between_tokens():
    _, model = followed(Reasoning("hm"), 0.5, Text("a"), Done("stop", Usage(completion_tokens=1)))
    assert seen(model.per_token) == (0, 0)
    assert model.finished == {"stop": 1}


def test_pieces_of_a_backend_that_tells_no_tokens_count_as_one_each_until_the_end_says_how_many():
    _, model = followed(Text("a"), 1.0, Text("b"), Done("stop", Usage(completion_tokens=9)))
    assert seen(model.between_tokens) == (1, 1.0)
    assert model.generated_tokens == 9


def test_choices_beside_each_other_are_timed_apart_and_share_their_prompt():
    usage = Usage(prompt_tokens=5, completion_tokens=2)
    _, model = followed(
        1.0,
        Text("a", (1,), index=0),
        1.0,
        Text("A", (1,), index=1),
        1.0,
        Text("b", (2,), index=0),
        Done("stop", usage, index=0),
        1.0,
        Text("B", (2,), index=1),
        Done("length", usage, index=1),
    )
    assert seen(model.first_token) == (1, 1.0)
    assert seen(model.between_tokens) == (2, 4.0)
    assert seen(model.whole) == (2, 7.0)
    assert (model.prompt_tokens, model.generated_tokens) == (5, 4)
    assert model.finished == {"stop": 1, "length": 1}


def test_an_answer_that_is_given_up_counts_as_cancelled_and_its_tokens_as_written():
    _, model = followed(1.0, Text("a", (1,)), Text("b", (2,)))
    assert (model.cancelled, model.generated_tokens, model.active) == (1, 2, 0)
    assert seen(model.whole) == (0, 0.0)


def test_a_failure_counts_by_its_word_and_not_as_cancelled():
    measures = AnswerMeasures(ManualClock())
    for model in (None, "toy/one"):
        watch = measures.began()
        if model is not None:
            watch.answers(model)
        watch.failed("overloaded")
        watch.ended()
    assert measures.models[NO_MODEL].failed == measures.models["toy/one"].failed == {"overloaded": 1}
    assert measures.models["toy/one"].cancelled == measures.models[NO_MODEL].active == 0


def test_of_too_many_models_the_rest_are_others():
    measures = AnswerMeasures(ManualClock())
    for number in range(MAX_MODELS + 50):
        watch = measures.began()
        watch.answers(f"toy/{number}")
        watch.ended()
    assert len(measures.models) == MAX_MODELS + 1
    assert measures.models[OTHERS].cancelled == 50
