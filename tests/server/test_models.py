from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import pytest

from backends import create_backend
from backends.base import (
    BackendError,
    BackendUnreachable,
    Done,
    GenerationRequest,
    Loading,
    ModelInfo,
    ModelInvalid,
    ModelNotFound,
    ModelsChanged,
    Text,
)
from server.catalogue import Catalogue
from server.models import Models
from server.protocol import LoadingMessage, ModelsMessage
from tests.server.doubles import ManualClock, Named, Puppet, eventually, turn_over


class Scene:
    """Two backends, their models, and what was told of them."""

    def __init__(self) -> None:
        self.first, self.second = Puppet(ModelInfo("a")), Named(ModelInfo("a"), ModelInfo("b"))
        self.clock = ManualClock()
        self.told: list[ModelsMessage | LoadingMessage] = []
        self.catalogue = Catalogue([self.first, self.second], {"other": "gemma:2b"})
        self.models = Models(self.catalogue, self.clock, self.told.append)

    def states(self) -> dict[str, str]:
        return {entry.name: entry.state for entry in self.catalogue.message().models}


def on_scene(scenario: Callable[[Scene], Awaitable[None]], *, start: bool = True) -> None:
    async def run() -> None:
        scene = Scene()
        if start:
            await scene.models.start(1)
        try:
            await scenario(scene)
        finally:
            await scene.models.close()

    asyncio.run(run())


def test_the_list_is_flat_in_order_of_preference_and_was_told():
    async def scenario(scene: Scene) -> None:
        assert list(scene.states()) == ["puppet/a", "other/a", "other/b"]
        assert scene.catalogue.current == "puppet/a"
        assert scene.told[-1] == scene.catalogue.message()

    on_scene(scenario)


def test_a_list_that_did_not_change_is_not_told_again():
    async def scenario(scene: Scene) -> None:
        told = len(scene.told)
        scene.first.notify(ModelsChanged())
        await eventually(lambda: scene.first.listed == 2)
        await turn_over()
        assert len(scene.told) == told

    on_scene(scenario)


def test_a_dead_backend_stays_listed_greyed_with_the_reason_and_comes_back():
    async def scenario(scene: Scene) -> None:
        scene.second.models = BackendUnreachable("Error connecting to engine.")
        scene.second.notify(ModelsChanged())
        await eventually(lambda: scene.states()["other/b"] == "unreachable")
        assert {entry.reason for entry in scene.catalogue.message().models if entry.backend == "other"} == {
            "Error connecting to engine."
        }
        assert scene.catalogue.health().ok, "the other backend still answers"
        scene.second.models = [ModelInfo("b")]
        scene.clock.advance(10)
        await eventually(lambda: scene.states() == {"puppet/a": "ready", "other/b": "ready"})

    on_scene(scenario)


def test_a_backend_that_never_answered_is_listed_by_the_model_that_is_expected_there():
    async def scenario(scene: Scene) -> None:
        scene.first.models = scene.second.models = BackendUnreachable("Nobody is there.")
        await scene.models.start(1)
        assert scene.states() == {"puppet/puppet": "unreachable", "other/gemma:2b": "unreachable"}
        assert scene.catalogue.health().reason == "Nobody is there."
        with pytest.raises(BackendUnreachable, match="Nobody is there"):
            await scene.models.resolve("other/gemma:2b")
        with pytest.raises(BackendUnreachable):
            await scene.models.resolve("")

    on_scene(scenario, start=False)


def test_a_backend_that_lists_nothing_is_not_listed():
    async def scenario(scene: Scene) -> None:
        scene.second.models = []
        await scene.models.start(1)
        assert list(scene.states()) == ["puppet/a"]

    on_scene(scenario, start=False)


@pytest.mark.parametrize("answer", [None, [ModelInfo("b", state="warm")]])  # type: ignore[arg-type]
def test_a_backend_that_breaks_when_asked_or_answers_nonsense_harms_nobody(answer: Sequence[ModelInfo]):
    async def scenario(scene: Scene) -> None:
        scene.second.models = answer
        await scene.models.start(1)
        assert scene.states() == {"puppet/a": "ready", "other/gemma:2b": "unreachable"}

    on_scene(scenario, start=False)


def test_backends_are_asked_while_somebody_watches_and_not_otherwise():
    async def scenario(scene: Scene) -> None:
        scene.clock.advance(100)
        await turn_over()
        assert scene.first.listed == 1, "idle, nothing runs"
        assert scene.clock.pending == 0
        scene.models.watch(True)
        await eventually(lambda: scene.first.listed == 2)
        scene.clock.advance(10)
        await eventually(lambda: scene.first.listed == 3)
        scene.models.watch(False)
        scene.clock.advance(100)
        await turn_over()
        assert scene.first.listed == 3

    on_scene(scenario)


def test_while_models_are_loading_the_preferred_backend_is_current_and_a_failed_one_is_not():
    async def scenario(scene: Scene) -> None:
        scene.first.models = [ModelInfo("a", state="loading"), ModelInfo("c", state="available")]
        await scene.models.start(1)
        assert scene.catalogue.current == "puppet/a"
        scene.first.models = [ModelInfo("a", state="failed", reason="The file is damaged.")]
        scene.first.notify(ModelsChanged())
        await eventually(lambda: scene.catalogue.current == "other/a")

    on_scene(scenario, start=False)


def test_loading_a_model_makes_it_current_and_shows_how_far_it_is():
    async def scenario(scene: Scene) -> None:
        scene.second.loads.put_nowait(Loading("b", "pulling", 1, 2))
        scene.second.loads.put_nowait(Loading("b", "ready", 2, 2))
        assert await scene.models.load("b") == "other/b"
        assert scene.catalogue.current == "other/b"
        loading = [message for message in scene.told if isinstance(message, LoadingMessage)]
        assert [(m.model, m.done, m.total) for m in loading] == [("other/b", 1, 2), ("other/b", 2, 2)]
        assert isinstance(scene.told[-1], ModelsMessage)
        assert scene.told[-1].current == "other/b"

    on_scene(scenario)


def test_a_current_model_that_is_gone_is_named_when_it_is_asked():
    async def scenario(scene: Scene) -> None:
        scene.second.loads.put_nowait(Loading("b", "ready"))
        await scene.models.load("other/b")
        scene.second.models = [ModelInfo("a")]
        scene.second.notify(ModelsChanged())
        await eventually(lambda: "other/b" not in scene.states())
        with pytest.raises(ModelNotFound, match="no model other/b"):
            await scene.models.resolve("")

    on_scene(scenario)


@pytest.mark.parametrize("failure", [ModelInvalid("The file is damaged."), ZeroDivisionError("path")])
def test_a_model_that_cannot_be_loaded_leaves_the_current_one(failure: Exception):
    async def scenario(scene: Scene) -> None:
        scene.second.loads.put_nowait(failure)  # type: ignore[arg-type]
        with pytest.raises(BackendError) as failed:
            await scene.models.load("other/b")
        assert "path" not in failed.value.message
        assert scene.catalogue.current == "puppet/a"

    on_scene(scenario)


def test_a_model_that_is_not_listed_is_offered_to_every_backend():
    async def scenario(scene: Scene) -> None:
        scene.first.loads.put_nowait(ModelNotFound("Not here."))
        scene.second.loads.put_nowait(Loading("new", "ready"))
        assert await scene.models.load("new") == "other/new"
        for puppet in (scene.first, scene.second):
            puppet.loads.put_nowait(ModelNotFound("Not here either."))
        with pytest.raises(ModelNotFound):
            await scene.models.load("nobody")
        assert scene.catalogue.current == "other/new"

    on_scene(scenario)


def test_a_model_that_is_made_ready_is_not_made_current():
    async def scenario(scene: Scene) -> None:
        for step in (Loading("b", "Loading b", 1, 2), Loading("b", "ready")):
            scene.second.loads.put_nowait(step)
        steps = [step async for step in scene.models.make_ready("b")]
        assert steps == [Loading("other/b", "Loading b", 1, 2), Loading("other/b", "ready")]
        assert [told.message for told in scene.told if isinstance(told, LoadingMessage)] == ["Loading b", "ready"]
        assert scene.catalogue.current == "puppet/a"
        assert scene.second.listed == 2, "it was asked what it has now"

    on_scene(scenario)


def test_a_backend_that_loads_without_a_word_is_believed(monkeypatch: pytest.MonkeyPatch):
    async def silently(model: str) -> AsyncGenerator[Loading, None]:
        for step in ():
            yield step

    async def scenario(scene: Scene) -> None:
        monkeypatch.setattr(scene.second, "load", silently)
        assert await scene.models.load("b") == scene.catalogue.current == "other/b"

    on_scene(scenario)


@pytest.mark.parametrize("error", [ModelInvalid("It is broken."), RuntimeError("secret")])
def test_what_cannot_be_made_ready_is_told_in_a_sentence(error: Exception):
    async def scenario(scene: Scene) -> None:
        scene.first.loads.put_nowait(error)
        with pytest.raises(BackendError, match=r"broken|log says why") as failed:
            [step async for step in scene.models.make_ready("a")]
        assert "secret" not in failed.value.message

    on_scene(scenario)


def test_an_unloaded_model_is_asked_for_what_it_is_now():
    async def scenario(scene: Scene) -> None:
        await scene.models.unload("b")
        assert (scene.first.listed, scene.second.listed) == (1, 2)
        with pytest.raises(ModelNotFound):
            await scene.models.unload("nobody")

    on_scene(scenario)


def test_two_loads_come_one_after_the_other():
    async def scenario(scene: Scene) -> None:
        one = asyncio.create_task(scene.models.load("puppet/a"))
        two = asyncio.create_task(scene.models.load("other/b"))
        scene.second.loads.put_nowait(Loading("b", "ready"))
        await turn_over()
        assert not two.done(), "the second waits for the first"
        scene.first.loads.put_nowait(Loading("a", "ready"))
        assert [await one, await two] == ["puppet/a", "other/b"]
        assert scene.catalogue.current == "other/b"

    on_scene(scenario)


def test_a_backend_of_a_stranger_plugs_in_by_its_import_string():
    async def scenario() -> None:
        backend = create_backend("tests.server.parrot:Parrot")
        catalogue = Catalogue([backend], {})
        models = Models(catalogue, ManualClock(), lambda message: None)
        await models.start(1)
        assert catalogue.current == "parrot/polly"
        owner, info = await models.resolve("polly")
        events = [event async for event in owner.generate(GenerationRequest("r", info.name, prompt="Hello"))]
        assert events == [Text("Hello? Hello!"), Done("stop")]
        await models.close()

    asyncio.run(scenario())
