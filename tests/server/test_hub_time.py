"""What happens to answers and sessions as time goes by."""

from __future__ import annotations

import pytest

from backends.base import (
    Done,
    Progress,
)
from server.commands import CommandRefused
from server.options import HubOptions
from server.protocol import UserCommand
from server.session import Session
from tests.server.doubles import Reader, eventually
from tests.server.stage import Stage, on_stage

# Time


def test_progress_is_said_every_second_while_nothing_else_is():
    async def scenario(stage: Stage) -> None:
        stage.ask()
        stage.puppet.say(Progress("prefill", 10, 20))
        await stage.reader.until("progress")
        for _ in range(3):
            stage.clock.advance(1)
            assert (await stage.reader.until("progress"))["done"] == 10
        stage.clock.advance(0.7)
        stage.puppet.say("text")
        await stage.reader.until("delta")
        stage.clock.advance(0.3)
        await stage.reader.drain()
        assert stage.reader.types()[-1] == "delta", "a moment after a token nothing more need be said"
        stage.clock.advance(1)
        assert (await stage.reader.until("progress"))["phase"] == "decoding"

    on_stage(scenario)


def test_progress_tells_what_of_the_prompt_was_remembered_and_a_stopped_answer_still_knows_it():
    async def scenario(stage: Stage) -> None:
        stage.ask()
        stage.puppet.say(Progress("queued", position=2))
        queued = await stage.reader.until("progress")
        assert (queued["position"], "cached" in queued) == (2, False)
        stage.puppet.say(Progress("prefill", 800, 6000, cached=512))
        reading = await stage.reader.until("progress")
        assert (reading["done"], reading["total"], reading["cached"]) == (800, 6000, 512)
        stage.puppet.say("text")
        await stage.reader.until("delta")
        stage.hub.stop(stage.session)
        usage = (await stage.reader.until_end())["usage"]
        assert usage == {"prompt_tokens": 0, "cached_tokens": 512, "completion_tokens": 1}

    on_stage(scenario)


def test_an_answer_nobody_watches_is_abandoned_and_what_waits_starts_when_somebody_is_back():
    async def scenario(stage: Stage) -> None:
        first, second = stage.ask("one"), stage.ask("two")
        stage.puppet.say("Half")
        await stage.reader.until("delta")
        stage.reader.subscriber.close()
        stage.clock.advance(599)
        assert stage.session.state.nodes[first.run].running
        stage.clock.advance(2)
        assert stage.session.state.nodes[first.run].finish_reason == "abandoned"
        assert str(stage.session.state.nodes[first.run].content) == "Half"
        await eventually(lambda: stage.puppet.cancelled == [first.run])
        assert second.id in stage.session.state.queue
        back = Reader(stage.session.subscribe())
        stage.puppet.say("Two", Done("stop"))
        assert (await back.until_end())["message"] == "Two"

    on_stage(scenario)


def test_coming_back_in_time_keeps_the_answer_alive():
    async def scenario(stage: Stage) -> None:
        accepted = stage.ask()
        stage.reader.subscriber.close()
        stage.clock.advance(599)
        back = Reader(stage.session.subscribe())
        stage.clock.advance(10_000)
        assert stage.session.state.nodes[accepted.run].running
        stage.puppet.say("Here", Done("stop"))
        await back.until_end()

    on_stage(scenario)


def test_a_session_is_forgotten_when_it_was_long_out_of_use_and_not_before():
    async def scenario(stage: Stage) -> None:
        await stage.answered("x", Done("stop"))
        stage.clock.advance(10_000)
        assert stage.hub.sessions.get(stage.session.id) is stage.session, "while somebody watches it stays"
        stage.reader.subscriber.close()
        stage.clock.advance(299)
        assert stage.hub.sessions.get(stage.session.id) is stage.session
        stage.clock.advance(302)
        assert stage.hub.sessions.get(stage.session.id) is None
        assert (await stage.hub.open(stage.session.id)).id != stage.session.id

    on_stage(scenario)


def test_without_a_window_a_session_lasts_as_long_as_it_is_used():
    async def scenario(stage: Stage) -> None:
        assert stage.hub.sessions.get(stage.session.id) is stage.session
        await stage.answered("x", Done("stop"))
        stage.reader.subscriber.close()
        stage.clock.advance(0)
        assert stage.hub.sessions.get(stage.session.id) is None

    on_stage(scenario, options=HubOptions(window_s=0))


def test_a_session_with_a_running_answer_is_not_forgotten():
    async def scenario(stage: Stage) -> None:
        stage.ask()
        stage.reader.subscriber.close()
        stage.clock.advance(590)
        assert stage.hub.sessions.get(stage.session.id) is stage.session

    on_stage(scenario)


def test_sessions_out_of_use_are_bounded_and_the_oldest_go_first():
    async def scenario(stage: Stage) -> None:
        sessions: list[Session] = []
        for _ in range(300):
            session = stage.hub.create()
            session.subscribe().close()
            sessions.append(session)
        kept = [session for session in sessions if stage.hub.sessions.get(session.id)]
        assert kept == sessions[-100:]
        assert stage.hub.sessions.get(stage.session.id) is stage.session

    on_stage(scenario)


def test_a_hub_that_closes_takes_no_more_prompts_but_ends_what_runs():
    async def scenario(stage: Stage) -> None:
        accepted, waiting = stage.ask("one"), stage.ask("two")
        stage.puppet.say("Half")
        await stage.reader.until("delta")
        await stage.hub.close()
        assert stage.session.state.nodes[accepted.run].finish_reason == "interrupted"
        assert stage.puppet.cancelled == [accepted.run]
        assert list(stage.session.state.queue) == [waiting.id]
        with pytest.raises(CommandRefused) as refused:
            stage.hub.ask(stage.hub.create(), UserCommand(message="Hi"))
        assert refused.value.code == "overloaded"

    on_stage(scenario)
