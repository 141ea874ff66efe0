"""Names that clients choose for their conversations."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.history.records import LOCAL
from server.history.store import History
from server.hub import Hub
from server.names import NAME, ids_of
from server.protocol import UserCommand
from server.session import Session
from tests.server.doubles import Puppet


async def say(hub: Hub, session: Session, message: str) -> None:
    hub.execute(session, UserCommand(message=message))
    assert await hub.saved(session), "what was said is stored"


def first_message(session: Session) -> str:
    return str(next(iter(session.state.nodes.values())).content)


def test_a_name_means_the_same_conversation_to_one_owner_and_another_to_another() -> None:
    async def test() -> None:
        hub = Hub([Puppet()])
        mine = await hub.open_named("my-chat")
        assert await hub.open_named("my-chat") is mine
        assert await hub.get(mine.id) is mine, "it is a conversation like any other"
        assert len({mine.id, (await hub.open_named("other")).id, (await hub.open_named("my-chat", "somebody")).id}) == 3
        assert mine.id != "my-chat"
        await hub.close()

    asyncio.run(test())


def test_two_who_use_a_new_name_at_once_meet_in_one_conversation(tmp_path: Path) -> None:
    async def test() -> None:
        hub = Hub([Puppet()], open_history=lambda: History.open("sqlite:///chats.db", tmp_path))
        await hub.start()
        one, other = await asyncio.gather(hub.open_named("my-chat"), hub.open_named("my-chat"))
        assert one is other
        await hub.close()

    asyncio.run(test())


def test_a_named_conversation_is_there_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        for life in range(2):
            hub = Hub([Puppet()], open_history=lambda: History.open("sqlite:///chats.db", tmp_path))
            await hub.start()
            session = await hub.open_named("my-chat")
            if life == 0:
                await say(hub, session, "Hello")
            assert first_message(session) == "Hello"
            await hub.close()

    asyncio.run(test())


def test_a_deleted_conversation_is_not_written_on_under_its_name_and_can_be_had_back(tmp_path: Path) -> None:
    async def test() -> None:
        hub = Hub([Puppet()], open_history=lambda: History.open("sqlite:///chats.db", tmp_path))
        await hub.start()
        first = await hub.open_named("my-chat")
        await say(hub, first, "Hello")
        await hub.conversations.delete(first.id)
        second = await hub.open_named("my-chat")
        assert second.id != first.id
        assert second.head == 0
        await hub.conversations.restore(first.id)
        assert first_message(await hub.open_named("my-chat")) == "Hello"
        await hub.close()

    asyncio.run(test())


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 64])
def test_letters_digits_and_two_signs_make_a_name(name: str) -> None:
    assert NAME.fullmatch(name)
    assert len(set(ids_of(name, LOCAL))) == len(ids_of(name, LOCAL))


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "ü", "a/b", "..", "a\n"])
def test_nothing_else_does(name: str) -> None:
    assert not NAME.fullmatch(name)
