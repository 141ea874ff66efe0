"""What an answer becomes in a conversation, and what a stateless call gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from backends.base import (
    BackendError,
    BackendFailed,
    BackendUnreachable,
    Done,
    Event,
    GenerationRequest,
    Loading,
    ModelInfo,
    ModelNotFound,
    Overloaded,
    Reasoning,
    Text,
    Timings,
    TokenCount,
    Usage,
)
from server.answers import InternalError
from server.hub import Hub
from server.options import HubOptions
from server.protocol import ChatParams
from tests.server.doubles import ManualClock, Named, Puppet, eventually, turn_over
from tests.server.stage import Stage, on_stage

# One answer


def test_an_answer_is_user_typing_deltas_and_the_whole_text():
    async def scenario(stage: Stage) -> None:
        end = await stage.answered("Hello ", "there", Done("stop", Usage(7, 2, 2), Timings(1.0, 2.0, 3.0, 4.0)))
        assert stage.reader.types() == ["user", "typing", "delta", "delta", "ai"]
        assert (end["message"], end["finish_reason"], end["model"]) == ("Hello there", "stop", "puppet/toy")
        assert end["usage"] == {"prompt_tokens": 7, "cached_tokens": 2, "completion_tokens": 2}
        assert end["timings"] == {"queued_ms": 1.0, "ttft_ms": 2.0, "total_ms": 3.0, "tokens_per_second": 4.0}

    on_stage(scenario)


def test_reasoning_travels_in_its_own_channel():
    async def scenario(stage: Stage) -> None:
        end = await stage.answered(Reasoning("Let me "), Reasoning("see."), "Yes", Done("stop"))
        deltas = [(f["channel"], f["offset"], f["message"]) for f in stage.reader.frames if f["type"] == "delta"]
        assert deltas == [("reasoning", 0, "Let me "), ("reasoning", 7, "see."), ("content", 0, "Yes")]
        assert (end["message"], end["reasoning"]) == ("Yes", "Let me see.")

    on_stage(scenario)


def test_what_was_not_measured_by_the_backend_is_measured_here():
    async def scenario(stage: Stage) -> None:
        stage.ask()
        await turn_over()
        stage.clock.advance(0.5)
        stage.puppet.say("a")
        await stage.reader.until("delta")
        stage.clock.advance(1.0)
        stage.puppet.say("b\n", Done("stop", Usage(1, 0, 2)))
        end = await stage.reader.until_end()
        assert end["timings"] == {"ttft_ms": 500.0, "total_ms": 1500.0, "tokens_per_second": 1.0}

    on_stage(scenario)


@pytest.mark.parametrize(
    ("failure", "code", "retry_after"),
    [
        (BackendUnreachable("Error connecting to engine."), "backend_unreachable", None),
        (Overloaded("Engine overloaded.", retry_after=3), "overloaded", 3),
        (BackendFailed("It broke."), "backend_error", None),
        (ZeroDivisionError("secret/path"), "internal", None),
        (EOFError(), "backend_error", None),
    ],
)
def test_a_failure_ends_the_run_once_and_keeps_the_partial_text(
    failure: Exception, code: str, retry_after: float | None
):
    async def scenario(stage: Stage) -> None:
        end = await stage.answered("Par", "tial", failure)
        assert (end["type"], end["code"], end.get("retry_after")) == ("error", code, retry_after)
        assert "secret" not in str(end["message"])
        assert stage.reader.answers() == ["Partial"]
        await turn_over()
        await stage.reader.drain()
        assert [kind for kind in stage.reader.types() if kind in ("ai", "error")] == ["error"]
        assert (await stage.answered("Again", Done("stop")))["message"] == "Again", "the next prompt must work"

    on_stage(scenario)


class OddError(BackendError):
    """Of a backend that has words of its own."""

    code = "odd"


@pytest.mark.parametrize(
    "line",
    [
        Done("eos"),  # type: ignore[arg-type]
        Done("stop", Usage(None)),  # type: ignore[arg-type]
        Done("stop", timings=Timings(total_ms="fast")),  # type: ignore[arg-type]
        Text(None),  # type: ignore[arg-type]
        OddError("It broke."),
        BackendFailed("It broke at \ud800."),
        Overloaded("Engine overloaded.", retry_after="soon"),  # type: ignore[arg-type]
    ],
)
def test_a_backend_that_does_not_keep_to_its_types_ends_the_run_once_too(line: Event | BackendError):
    async def scenario(stage: Stage) -> None:
        end = await stage.answered("Partial", line)
        assert (end["type"], end["code"]) == ("error", "internal")
        assert stage.reader.answers() == ["Partial"]
        assert (await stage.answered("Again", Done("stop")))["message"] == "Again", "the next prompt must work"

    on_stage(scenario)


class Unruly(Puppet):
    """Cancels itself, and talks on after it was cancelled."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        try:
            async for event in super().generate(request):
                if event == Text("cancel me", (1,)):
                    raise asyncio.CancelledError
                yield event
        except asyncio.CancelledError:
            if self.cancelled:
                yield Done("cancelled")
            raise


def test_a_backend_that_cancels_itself_ends_the_run():
    async def scenario(stage: Stage) -> None:
        end = await stage.answered("Partial", "cancel me")
        assert (end["type"], end["code"]) == ("error", "backend_error")
        assert (await stage.answered("Again", Done("stop")))["message"] == "Again", "the next prompt must work"

    on_stage(scenario, puppet=Unruly())


def test_a_backend_that_talks_on_after_it_was_cancelled_is_not_heard():
    async def scenario(stage: Stage) -> None:
        stage.ask()
        stage.puppet.say("One")
        await stage.reader.until("delta")
        stage.hub.stop(stage.session)
        await eventually(lambda: stage.hub.active == 0)
        await stage.reader.drain()
        assert stage.reader.types() == ["user", "typing", "delta", "ai"]

    on_stage(scenario, puppet=Unruly())


def test_an_unknown_model_is_an_error_of_the_run():
    async def scenario(stage: Stage) -> None:
        stage.ask(model="puppet/nobody")
        end = await stage.reader.until_end()
        assert (end["type"], end["code"]) == ("error", "model_not_found")

    on_stage(scenario)


def test_the_parameters_are_merged_and_said():
    async def scenario(stage: Stage) -> None:
        asked = {"temperature": 0.0, "stop": ["END"], "seed": 4, "system": "Be brief."}
        end = await stage.answered("x", Done("stop"), params=ChatParams.model_validate(asked))
        request = stage.puppet.requests[0]
        assert (request.params.temperature, request.params.top_k, request.params.max_tokens) == (0.0, 40, 123)
        assert (request.params.stop, request.params.seed) == (("END",), 4)
        assert request.messages is not None
        assert [(m.role, m.content) for m in request.messages] == [("system", "Be brief."), ("user", "Hi")]
        assert end["params"] == {**asked, "top_p": 0.9, "top_k": 40, "min_p": 0.0, "max_tokens": 123}

    on_stage(scenario, options=HubOptions(max_tokens=123, system_prompt="Be kind."))


def test_a_model_is_asked_at_the_temperature_its_makers_advise_unless_the_person_says_another():
    async def scenario(stage: Stage) -> None:
        assert stage.hub.models().models[0].temperature == 0.2
        end = await stage.answered("x", Done("stop"))
        assert end["params"]["temperature"] == 0.2  # type: ignore[index]
        end = await stage.answered("x", Done("stop"), params=ChatParams(temperature=1.1))
        assert end["params"]["temperature"] == 1.1  # type: ignore[index]
        assert [request.params.temperature for request in stage.puppet.requests] == [0.2, 1.1]

    on_stage(scenario, ModelInfo("toy", temperature=0.2))


def test_a_model_is_shown_the_branch_the_message_is_on():
    async def scenario(stage: Stage) -> None:
        first = await stage.answered("A1", Done("stop"), question="Q1")
        await stage.answered("A2", Done("stop"), question="Q2")
        await stage.answered("B2", Done("stop"), question="R2", parent_id=first["id"])
        shown = stage.puppet.requests[2].messages or ()
        assert [(m.role, m.content) for m in shown] == [
            ("system", "Be kind."),
            ("user", "Q1"),
            ("assistant", "A1"),
            ("user", "R2"),
        ]

    on_stage(scenario, options=HubOptions(system_prompt="Be kind."))


def test_the_oldest_turns_are_left_out_when_the_context_is_full_and_that_is_said_once():
    async def scenario(stage: Stage) -> None:
        for number in range(4):
            await stage.answered("x" * 80, Done("stop"), question=f"{number} " + "y" * 80)
        messages = stage.puppet.requests[3].messages or ()
        assert messages[0].role == "system"
        assert messages[-1].content.startswith("3 ")
        assert len(messages) < 8
        notices = [frame for frame in stage.reader.frames if frame["type"] == "notice"]
        told = [identity for notice in notices for identity in notice["dropped"]]  # type: ignore[attr-defined]
        assert told
        assert len(told) == len(set(told)), "a turn is said to be left out once"
        assert told == list(stage.session.state.nodes)[: len(told)]

    on_stage(
        scenario, ModelInfo("toy", context_length=120), options=HubOptions(max_tokens=20, system_prompt="Be kind.")
    )


class Slow(Puppet):
    """Its model is there once it is let go; it notes in which order it was asked for what."""

    def __init__(self) -> None:
        super().__init__(ModelInfo("toy", state="loading", context_length=1_000))
        self.asked: list[str] = []

    async def load(self, model: str) -> AsyncGenerator[Loading, None]:
        yield Loading(model, f"Loading {model}", 1, 2)
        self.asked.append("loaded")
        yield Loading(model, "ready")

    async def count_tokens(self, request: GenerationRequest) -> TokenCount:
        self.asked.append("counted")
        return await super().count_tokens(request)


def test_a_prompt_is_counted_once_its_model_is_loaded_and_not_guessed_before():
    puppet = Slow()

    async def scenario(stage: Stage) -> None:
        await stage.answered("Hello", Done("stop"))
        assert puppet.asked[:2] == ["loaded", "counted"]

    on_stage(scenario, puppet=puppet)


def test_another_model_than_the_one_before_is_said():
    async def scenario(stage: Stage) -> None:
        await stage.answered("a", Done("stop"))
        await stage.answered("b", Done("stop"))
        await stage.answered("c", Done("stop"), model="bigger")
        notices = [frame["message"] for frame in stage.reader.frames if frame["type"] == "notice"]
        assert notices == ["From here on puppet/bigger answers."]

    on_stage(scenario, ModelInfo("toy"), ModelInfo("bigger"))


def test_a_backend_found_unreachable_is_asked_again_so_that_the_list_says_so():
    async def scenario(stage: Stage) -> None:
        stage.puppet.models = BackendUnreachable("Error connecting to engine.")
        await stage.answered(BackendUnreachable("Error connecting to engine."))
        await eventually(lambda: stage.hub.models().models[0].state == "unreachable")
        assert not stage.hub.health().ok

    on_stage(scenario)


# The choke point


def test_generate_goes_to_the_backend_that_has_the_model_and_counts_what_is_active():
    async def scenario() -> None:
        first, second = Puppet(ModelInfo("a")), Named(ModelInfo("a"), ModelInfo("b"))
        hub = Hub([first, second], clock=ManualClock())
        await hub.start()
        for name, backend, model in [("a", first, "a"), ("b", second, "b"), ("other/a", second, "a"), ("", first, "a")]:
            backend.say("x", Done("stop"))
            events = []
            async for event in hub.generate(GenerationRequest("r", name, prompt="Hi")):
                assert hub.active == 1
                events.append(event)
            assert backend.requests[-1].model == model
            assert isinstance(events[0], Text)
        assert hub.active == 0
        await hub.close()

    asyncio.run(scenario())


def test_generate_maps_what_nobody_foresaw_and_cancels_when_it_is_left():
    async def scenario(stage: Stage) -> None:
        stage.puppet.say(RuntimeError("boom"))
        with pytest.raises(InternalError):
            async for _ in stage.hub.generate(GenerationRequest("r1", "toy")):
                pass
        stage.puppet.say("x")
        async with aclosing(stage.hub.generate(GenerationRequest("r2", "toy"))) as events:
            await anext(events)
        assert stage.puppet.cancelled == ["r2"]
        assert stage.hub.active == 0
        with pytest.raises(ModelNotFound):
            await anext(stage.hub.generate(GenerationRequest("r3", "nobody")))

    on_stage(scenario)


def test_an_answer_without_an_end_is_a_failure():
    async def scenario(stage: Stage) -> None:
        stage.puppet.say("Par", EOFError())
        events = stage.hub.generate(GenerationRequest("r", "toy"))
        assert await anext(events) == Text("Par", token_ids=(1,))
        with pytest.raises(BackendFailed, match="broke off"):
            await anext(events)

    on_stage(scenario)


def test_a_name_is_resolved_to_the_full_one():
    async def scenario(stage: Stage) -> None:
        assert {await stage.hub.resolve(name) for name in ("", "toy", "puppet/toy")} == {"puppet/toy"}
        with pytest.raises(ModelNotFound):
            await stage.hub.resolve("nobody")

    on_stage(scenario)


def test_a_model_that_has_just_come_is_found_by_asking_once_more():
    async def scenario(stage: Stage) -> None:
        stage.puppet.models = [ModelInfo("new")]
        stage.puppet.say("x", Done("stop"))
        async for _ in stage.hub.generate(GenerationRequest("r", "new")):
            pass
        assert stage.puppet.requests[0].model == "new"

    on_stage(scenario)
