"""Branches and the queue, by way of the hub: what each command makes of the tree, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from backends.base import BackendFailed, Done, Usage
from server.commands import CommandRefused
from server.hub import Hub
from server.options import HubOptions
from server.protocol import (
    ChatParams,
    ClientMessage,
    ContinueCommand,
    EditCommand,
    QueueEditCommand,
    QueueMoveCommand,
    QueueRemoveCommand,
    RegenerateCommand,
    RemoveCommand,
    SelectCommand,
    StopCommand,
    UserCommand,
)
from tests.server.doubles import ManualClock, Puppet, Reader

END = Done("stop", Usage(7, 0, 2))


class Chat:
    """A conversation, somebody who reads along, and a backend that says what it is handed."""

    def __init__(self) -> None:
        self.backend = Puppet()
        self.hub = Hub([self.backend], HubOptions(stream_flush_ms=0, max_message_chars=100), ManualClock())
        self.session = self.hub.create()
        self.reader = Reader(self.session.subscribe())

    @property
    def path(self) -> list[str]:
        """The texts on the branch that is looked at."""
        state = self.session.state
        return [str(node.content) for node in state.path(state.leaf()) if node.role != "notice"]

    def do(self, command: ClientMessage) -> str:
        """Gives the id that the command made, or was about."""
        ack = self.hub.execute(self.session, command.model_copy(update={"cmd_id": f"c{self.session.head}"}))
        assert ack is not None
        return ack.id or ""

    async def say(self, message: str, *answer: str, params: ChatParams | None = None) -> tuple[str, str]:
        """Gives the ids of the message and of the answer to it."""
        self.backend.say(*answer, END)
        question = self.do(UserCommand(message=message, params=params))
        return question, await self.answered()

    async def answered(self) -> str:
        return str((await self.reader.until_end())["id"])

    def refuses(self, command: ClientMessage) -> str:
        """The code that the command is refused with. Nothing else comes of it."""
        head = self.session.head
        with pytest.raises(CommandRefused) as refused:
            self.do(command)
        assert self.session.head == head, "A refused command leaves no trace in the log."
        return refused.value.code


def chat(scenario: Callable[[Chat], Awaitable[None]]) -> None:
    async def run() -> None:
        stage = Chat()
        await stage.hub.start()
        await scenario(stage)
        await stage.reader.drain()
        same = stage.session.state.snapshot("s", "e") == stage.reader.state.snapshot("s", "e")
        assert same, "Whoever read along arrives at the server's state."
        await stage.hub.close()

    asyncio.run(run())


# Beside


def test_another_answer_stands_beside_the_first_and_nothing_is_overwritten() -> None:
    async def scenario(stage: Chat) -> None:
        question, first = await stage.say("Hi", "One", params=ChatParams(seed=5, temperature=0.3))
        stage.backend.say("Two", END)
        second = stage.do(RegenerateCommand(type="regenerate", id=first))
        assert await stage.answered() == second
        nodes = stage.session.state.nodes
        assert nodes[first].parent_id == nodes[second].parent_id == question
        assert stage.path == ["Hi", "Two"]
        assert str(nodes[first].content) == "One"
        asked = stage.backend.requests[1].params
        assert asked.temperature == 0.3
        assert asked.seed != 5, "The same seed would give the same answer again."

    chat(scenario)


def test_a_message_said_otherwise_is_answered_on_a_branch_of_its_own() -> None:
    async def scenario(stage: Chat) -> None:
        await stage.say("Hi", "Hello")
        question, answer = await stage.say("Who are you?", "A model")
        stage.backend.say("A machine", END)
        other = stage.do(EditCommand(type="edit", id=question, message="What are you?"))
        await stage.answered()
        assert stage.path == ["Hi", "Hello", "What are you?", "A machine"]
        assert stage.session.state.nodes[other].parent_id == stage.session.state.nodes[question].parent_id
        shown = [message.content for message in stage.backend.requests[2].messages or ()]
        assert shown[-3:] == ["Hi", "Hello", "What are you?"], "The model is shown that branch alone."
        stage.do(SelectCommand(type="select", id=answer))
        assert stage.path == ["Hi", "Hello", "Who are you?", "A model"]

    chat(scenario)


def test_the_first_message_of_all_can_be_said_otherwise() -> None:
    async def scenario(stage: Chat) -> None:
        question, _ = await stage.say("Hi", "Hello")
        stage.backend.say("Bye", END)
        other = stage.do(EditCommand(type="edit", id=question, message="Farewell"))
        await stage.answered()
        assert stage.session.state.nodes[other].parent_id is None
        assert stage.path == ["Farewell", "Bye"]

    chat(scenario)


def test_an_answer_in_a_persons_words_is_shown_to_the_model_from_then_on() -> None:
    async def scenario(stage: Chat) -> None:
        _, answer = await stage.say("The capital?", "London")
        stage.do(EditCommand(type="edit", id=answer, message="Paris"))
        await stage.reader.until_end()
        assert stage.path == ["The capital?", "Paris"]
        assert len(stage.backend.requests) == 1, "Nobody was asked for it."
        await stage.say("Sure?", "Yes")
        shown = [message.content for message in stage.backend.requests[1].messages or ()]
        assert "Paris" in shown
        assert "London" not in shown

    chat(scenario)


def test_a_message_to_an_old_answer_begins_a_branch_there() -> None:
    async def scenario(stage: Chat) -> None:
        _, first = await stage.say("One", "1")
        await stage.say("Two", "2")
        stage.backend.say("other", END)
        stage.do(UserCommand(message="Other", parent_id=first))
        await stage.answered()
        assert stage.path == ["One", "1", "Other", "other"]

    chat(scenario)


# On


def test_an_answer_goes_on_where_it_ended_in_the_same_message() -> None:
    async def scenario(stage: Chat) -> None:
        stage.backend.say("One, two", Done("length", Usage(7, 0, 2)))
        question = stage.do(UserCommand(message="Count", params=ChatParams(max_tokens=2)))
        answer = await stage.answered()
        stage.backend.say(", three", END)
        assert stage.do(ContinueCommand(type="continue", id=answer)) == answer
        assert stage.session.state.nodes[answer].running
        await stage.answered()
        node = stage.session.state.nodes[answer]
        assert stage.path == ["Count", "One, two, three"]
        assert node.finish_reason == "stop"
        assert node.usage is not None
        assert node.usage.completion_tokens == 4, "The tokens of both parts."
        request = stage.backend.requests[1]
        assert request.resume_text == "One, two"
        assert request.params.seed == stage.backend.requests[0].params.seed
        assert request.params.max_tokens == 2
        assert question in stage.session.state.nodes

    chat(scenario)


def test_what_came_of_a_failed_answer_can_be_gone_on_with() -> None:
    async def scenario(stage: Chat) -> None:
        stage.backend.say("Half", BackendFailed("It broke."))
        stage.do(UserCommand(message="Hi"))
        answer = await stage.answered()
        assert stage.session.state.nodes[answer].error is not None
        stage.backend.say(" and whole", END)
        stage.do(ContinueCommand(type="continue", id=answer))
        await stage.answered()
        assert stage.path == ["Hi", "Half and whole"]
        assert stage.session.state.nodes[answer].error is None

    chat(scenario)


# While an answer runs


def test_while_an_answer_runs_nothing_else_begins_anywhere_in_the_tree() -> None:
    async def scenario(stage: Chat) -> None:
        question, answer = await stage.say("Hi", "Hello")
        stage.do(UserCommand(message="More"))
        assert stage.refuses(RegenerateCommand(type="regenerate", id=answer)) == "overloaded"
        assert stage.refuses(EditCommand(type="edit", id=question, message="Ho")) == "overloaded"
        assert stage.refuses(ContinueCommand(type="continue", id=answer)) == "overloaded"
        stage.do(StopCommand(type="stop"))
        stage.backend.say("Hello again", END)
        stage.do(RegenerateCommand(type="regenerate", id=answer))
        await stage.reader.until_end()
        await stage.answered()
        assert stage.path == ["Hi", "Hello again"]

    chat(scenario)


def test_an_answer_that_runs_goes_on_while_another_branch_is_looked_at() -> None:
    async def scenario(stage: Chat) -> None:
        _, first = await stage.say("Hi", "One")
        second = stage.do(RegenerateCommand(type="regenerate", id=first))
        stage.do(SelectCommand(type="select", id=first))
        stage.backend.say("Two", END)
        assert await stage.answered() == second
        assert stage.path == ["Hi", "One"]
        assert str(stage.session.state.nodes[second].content) == "Two"

    chat(scenario)


def test_to_remove_a_branch_ends_the_answer_that_runs_in_it_and_what_waits_begins_elsewhere() -> None:
    async def scenario(stage: Chat) -> None:
        await stage.say("Hi", "Hello")
        question = stage.do(UserCommand(message="Wrong"))
        stage.do(UserCommand(message="Right"))
        stage.backend.say("Answer", END)
        stage.do(RemoveCommand(type="remove", id=question))
        await stage.reader.until_end()
        await stage.answered()
        assert stage.path == ["Hi", "Hello", "Right", "Answer"]
        assert question not in stage.session.state.nodes

    chat(scenario)


# The queue


def test_what_waits_can_be_changed_moved_and_taken_back() -> None:
    async def scenario(stage: Chat) -> None:
        stage.do(UserCommand(message="First"))
        two, three, four = (stage.do(UserCommand(message=message)) for message in ("Two", "Three", "Four"))
        stage.do(QueueEditCommand(type="queue_edit", id=three, message="Third"))
        stage.do(QueueMoveCommand(type="queue_move", id=four, position=0))
        stage.do(QueueRemoveCommand(type="queue_remove", id=two))
        assert [prompt.message for prompt in stage.session.state.queue.values()] == ["Four", "Third"]
        for answer in ("1", "4", "3"):
            stage.backend.say(answer, END)
            await stage.answered()
        assert stage.path == ["First", "1", "Four", "4", "Third", "3"]

    chat(scenario)


def test_a_place_behind_the_last_one_is_the_last_one() -> None:
    async def scenario(stage: Chat) -> None:
        stage.do(UserCommand(message="First"))
        two, _ = (stage.do(UserCommand(message=message)) for message in ("Two", "Three"))
        stage.do(QueueMoveCommand(type="queue_move", id=two, position=1_000))
        assert [prompt.message for prompt in stage.session.state.queue.values()] == ["Three", "Two"]
        stage.do(StopCommand(type="stop"))

    chat(scenario)


# What cannot be done


@pytest.mark.parametrize(
    "command",
    [
        RegenerateCommand(type="regenerate", id="nobody"),
        EditCommand(type="edit", id="nobody", message="x"),
        ContinueCommand(type="continue", id="nobody"),
        SelectCommand(type="select", id="nobody"),
        RemoveCommand(type="remove", id="nobody"),
        QueueEditCommand(type="queue_edit", id="nobody", message="x"),
        QueueMoveCommand(type="queue_move", id="nobody", position=0),
        QueueRemoveCommand(type="queue_remove", id="nobody"),
    ],
    ids=lambda command: command.type,
)
def test_a_command_about_nothing_is_refused(command: ClientMessage) -> None:
    async def scenario(stage: Chat) -> None:
        await stage.say("Hi", "Hello")
        assert stage.refuses(command) == "not_found"

    chat(scenario)


def test_a_question_is_no_answer() -> None:
    async def scenario(stage: Chat) -> None:
        question, _ = await stage.say("Hi", "Hello")
        assert stage.refuses(RegenerateCommand(type="regenerate", id=question)) == "not_found"
        assert stage.refuses(ContinueCommand(type="continue", id=question)) == "not_found"

    chat(scenario)


@pytest.mark.parametrize(("text", "code"), [("  \n", "bad_message"), ("x" * 101, "message_too_long")])
def test_what_nobody_can_have_meant_to_say_is_refused(text: str, code: str) -> None:
    async def scenario(stage: Chat) -> None:
        question, answer = await stage.say("Hi", "Hello")
        assert stage.refuses(EditCommand(type="edit", id=question, message=text)) == code
        assert stage.refuses(EditCommand(type="edit", id=answer, message=text)) == code
        stage.do(UserCommand(message="Runs"))
        waiting = stage.do(UserCommand(message="Waits"))
        assert stage.refuses(QueueEditCommand(type="queue_edit", id=waiting, message=text)) == code
        stage.do(QueueRemoveCommand(type="queue_remove", id=waiting))
        stage.do(StopCommand(type="stop"))

    chat(scenario)


def test_each_command_is_done_once() -> None:
    async def scenario(stage: Chat) -> None:
        _, answer = await stage.say("Hi", "Hello")
        stage.backend.say("Again", END)
        command = RegenerateCommand(type="regenerate", id=answer, cmd_id="same")
        first = stage.hub.execute(stage.session, command)
        await stage.answered()
        second = stage.hub.execute(stage.session, command)
        assert first is not None
        assert second == first.model_copy(update={"duplicate": True})
        assert len(stage.backend.requests) == 2

    chat(scenario)
