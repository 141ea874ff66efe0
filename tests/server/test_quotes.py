"""`/quote`: a quotation in place of a model's answer, from the same log, for every client."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backends.base import BackendUnreachable, Done, Text
from backends.echo import EchoBackend
from server.history.store import History
from server.hub import Hub
from server.protocol import ContinueCommand, RegenerateCommand, UserCommand
from server.quotes import QUOTES, is_quote, quotation, quote
from tests.server.doubles import Puppet, Reader, eventually


@pytest.mark.parametrize(
    ("message", "asks"),
    [("/quote", True), ("/quote, please", True), ("/quote\n", True), ("/quotes", False), ("say /quote", False)],
)
def test_only_the_word_at_the_beginning_asks_for_one(message: str, asks: bool) -> None:
    assert is_quote(message) is asks


async def words(answer: str, said: str = "") -> list[str]:
    return [event.text async for event in quote(answer, said) if isinstance(event, Text)]


def test_a_quotation_comes_word_by_word_and_goes_on_where_it_was_cut() -> None:
    whole = asyncio.run(words("a"))
    assert "".join(whole) == quotation("a")
    assert all(word.strip() for word in whole)
    assert asyncio.run(words("a", "".join(whole[:3]))) == whole[3:]


def test_all_of_them_come_up() -> None:
    assert len({quotation(str(answer)) for answer in range(300)}) == len(QUOTES)


def test_a_quotation_is_an_answer_like_any_other_though_there_is_no_model() -> None:
    async def scenario() -> None:
        puppet = Puppet()
        puppet.models = BackendUnreachable("Nobody is there.")
        hub = Hub([puppet])
        await hub.start()
        session = hub.create()
        reader = Reader(session.subscribe())
        accepted = hub.ask(session, UserCommand(message="/quote"))
        end = await reader.until_end()
        assert (end["type"], end["id"]) == ("ai", accepted.run)
        assert end["message"] == quotation(accepted.run)
        assert reader.types().count("delta") > 1, "it comes in pieces"
        late = Reader(session.subscribe())
        await late.until("snapshot")
        assert late.answers() == [quotation(accepted.run)]
        await hub.close()

    asyncio.run(scenario())


def test_the_next_message_is_the_models_again_and_another_answer_is_another_quotation() -> None:
    async def scenario() -> None:
        puppet = Puppet()
        hub = Hub([puppet])
        await hub.start()
        session = hub.create()
        reader = Reader(session.subscribe())
        first = await _ended(hub, reader, UserCommand(message="/quote"))
        again = await _ended(hub, reader, RegenerateCommand(type="regenerate", id=str(first["id"])))
        assert again["message"] == quotation(str(again["id"]))
        assert not puppet.requests
        puppet.say("Well.", Done("stop"))
        answer = await _ended(hub, reader, UserCommand(message="Why?"))
        assert answer["message"] == "Well."
        assert "notice" not in reader.types(), "it is no other model that answers now"
        await hub.close()

    asyncio.run(scenario())


async def _ended(
    hub: Hub, reader: Reader, command: UserCommand | RegenerateCommand | ContinueCommand
) -> dict[str, object]:
    hub.execute(reader.subscriber.session, command)
    return await reader.until_end()


def test_a_quotation_that_was_stopped_goes_on_and_one_that_the_server_left_is_finished(tmp_path: Path) -> None:
    async def scenario() -> None:
        hub = await _hub(tmp_path)
        session = hub.create()
        reader = Reader(session.subscribe())
        accepted = hub.ask(session, UserCommand(message="/quote"))
        await reader.until("delta")
        hub.stop(session)
        stopped = await reader.until_end()
        assert stopped["finish_reason"] == "cancelled"
        hub.execute(session, ContinueCommand(type="continue", id=accepted.run))
        await reader.until("delta")
        await hub.close()

        hub = await _hub(tmp_path)
        again = await hub.get(session.id)
        assert again is not None
        answer = again.state.nodes[accepted.run]
        await eventually(lambda: answer.finish_reason is not None)
        assert (str(answer.content), answer.finish_reason) == (quotation(accepted.run), "stop")
        await hub.close()

    asyncio.run(scenario())


async def _hub(folder: Path) -> Hub:
    hub = Hub([EchoBackend()], open_history=lambda: History.open("sqlite:///chats.db", folder))
    await hub.start()
    return hub
