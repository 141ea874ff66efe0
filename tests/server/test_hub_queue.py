"""Stopping, waiting, and doing each command once."""

from __future__ import annotations

import pytest

from backends.base import (
    Done,
    Progress,
)
from server.commands import CommandRefused
from server.protocol import QueueRemoveCommand, StopCommand, UserCommand
from server.turns import MAX_WAITING
from tests.server.doubles import Reader, eventually
from tests.server.stage import Stage, on_stage

# Stopping


@pytest.mark.parametrize("by", ["run", "message", "nothing"])
def test_stop_ends_the_run_at_once_keeps_the_text_and_cancels_the_work(by: str):
    async def scenario(stage: Stage) -> None:
        accepted = stage.ask()
        stage.puppet.say("One ")
        await stage.reader.until("delta")
        stage.hub.stop(stage.session, {"run": accepted.run, "message": accepted.id, "nothing": None}[by])
        assert stage.session.state.nodes[accepted.run].finish_reason == "cancelled", "the end is there at once"
        end = await stage.reader.until_end()
        assert (end["message"], end["usage"]) == (
            "One ",
            {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 1},
        )
        await eventually(lambda: stage.puppet.cancelled == [accepted.run])
        stage.hub.stop(stage.session, accepted.run)
        await stage.reader.drain()
        assert stage.reader.types().count("ai") == 1, "to stop what has ended changes nothing"

    on_stage(scenario)


def test_stop_before_the_first_token_or_while_the_model_loads_works():
    async def scenario(stage: Stage) -> None:
        stage.ask()
        stage.puppet.say(Progress("loading", 1, 2))
        await stage.reader.until("progress")
        stage.hub.stop(stage.session)
        assert (await stage.reader.until_end())["message"] == ""
        stage.ask()
        stage.hub.stop(stage.session)
        assert (await stage.reader.until_end())["finish_reason"] == "cancelled"

    on_stage(scenario)


def test_what_never_was_cannot_be_stopped():
    async def scenario(stage: Stage) -> None:
        with pytest.raises(CommandRefused) as refused:
            stage.hub.stop(stage.session, "nobody")
        assert refused.value.code == "not_found"
        stage.hub.stop(stage.session)

    on_stage(scenario)


# The queue


def test_a_second_prompt_waits_and_follows_the_answer_before_it():
    async def scenario(stage: Stage) -> None:
        first, second = stage.ask("one"), stage.ask("two")
        await stage.reader.drain()
        assert stage.reader.types() == ["user", "typing", "queued", "progress"]
        assert (stage.reader.frames[-1]["id"], stage.reader.frames[-1]["position"]) == (second.id, 1)
        stage.puppet.say("1", Done("stop"), "2", Done("stop"))
        await stage.reader.until_end()
        await stage.reader.until_end()
        late = Reader(stage.session.subscribe())
        await late.drain()
        assert late.types() == ["snapshot"], "whoever joins now hears nothing of a queue that is gone"
        nodes = stage.session.state.nodes
        assert nodes[second.id].parent_id == first.run
        assert str(nodes[second.run].content) == "2"

    on_stage(scenario)


@pytest.mark.parametrize("by", ["stop", "queue_remove"])
def test_a_waiting_prompt_can_be_taken_back(by: str):
    async def scenario(stage: Stage) -> None:
        stage.ask("one")
        waiting = stage.ask("two")
        command = StopCommand(type="stop", id=waiting.id) if by == "stop" else None
        stage.hub.execute(stage.session, command or QueueRemoveCommand(type="queue_remove", id=waiting.id))
        stage.puppet.say("1", Done("stop"))
        await stage.reader.until_end()
        assert stage.session.state.queue == {}
        assert len(stage.puppet.requests) == 1

    on_stage(scenario)


def test_the_queue_is_bounded():
    async def scenario(stage: Stage) -> None:
        for _ in range(MAX_WAITING + 1):
            stage.ask()
        with pytest.raises(CommandRefused) as refused:
            stage.ask()
        assert (refused.value.code, refused.value.retry_after) == ("overloaded", 5)

    on_stage(scenario)


# Once


def test_a_command_is_done_once_for_five_minutes():
    async def scenario(stage: Stage) -> None:
        command = UserCommand(message="Hi", cmd_id="c")
        first = stage.hub.execute(stage.session, command)
        stage.clock.advance(299)
        second = stage.hub.execute(stage.session, command)
        assert first is not None
        assert second == first.model_copy(update={"duplicate": True})
        stage.clock.advance(2)
        third = stage.hub.execute(stage.session, command)
        assert third is not None
        assert third.id != first.id

    on_stage(scenario)


def test_a_refused_command_may_be_sent_again():
    async def scenario(stage: Stage) -> None:
        for _ in range(2):
            with pytest.raises(CommandRefused):
                stage.hub.execute(stage.session, UserCommand(message=" ", cmd_id="c"))

    on_stage(scenario)
