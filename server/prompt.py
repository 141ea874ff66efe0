"""What a model is asked for: a message that a person said, or one more answer to it. Knows nothing of who answers it.

Also how it is kept while it waits or is being answered, so that it can be asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import uuid_utils

from server.commands import CommandRefused
from server.fold import Conversation
from server.node import Node
from server.protocol import ChatParams, ContinueCommand, EditCommand, RegenerateCommand, UserCommand


@dataclass(slots=True, frozen=True)
class Prompt:
    """It is being answered, or waits for its turn. `run` is the id of the answer to it.

    `parent_id` is the answer it follows; `at_leaf`: whatever the last message is when its turn comes. `said`: the
    message is in the tree already, and this is another answer to it. `begun`: so is the answer, and it goes on after
    `tokens_before` of its tokens.
    """

    id: str
    run: str
    message: str
    cmd_id: str | None = None
    parent_id: str | None = None
    at_leaf: bool = True
    model: str | None = None
    params: ChatParams | None = None
    think: bool | None = None
    said: bool = False
    begun: bool = False
    tokens_before: int = 0

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        params = self.params.model_dump(exclude_none=True) if self.params is not None else None
        return {**asdict(replace(self, params=None)), "params": params}

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Prompt:
        """What `dump` gave."""
        params = data["params"]
        return cls(**{**data, "params": None if params is None else ChatParams.model_validate(params)})


def new_id() -> str:
    """The id of a message: a UUID of version 7, so that later ones sort after earlier ones."""
    return str(uuid_utils.uuid7())


def accept(command: UserCommand, state: Conversation, max_chars: int) -> Prompt:
    """Make a prompt of what was said, with ids of its own. Raises CommandRefused."""
    check_text(command.message, max_chars)
    parent = state.nodes.get(command.parent_id) if command.parent_id else None
    if command.parent_id and (parent is None or parent.role != "ai"):
        raise CommandRefused("not_found", "There is no answer of that id to follow.")
    return Prompt(
        id=new_id(),
        run=new_id(),
        message=command.message,
        cmd_id=command.cmd_id,
        parent_id=command.parent_id,
        at_leaf=command.parent_id is None,
        model=command.model,
        params=command.params,
        think=command.think,
    )


def check_text(text: str, max_chars: int) -> None:
    """Raises CommandRefused for a text that nobody can have meant to say."""
    if not text.strip():
        raise CommandRefused("bad_message", "message: There is nothing in it.")
    if len(text) > max_chars:
        raise CommandRefused("message_too_long", f"The message is longer than {max_chars:,} characters.")


def find(state: Conversation, identity: str, *roles: str) -> Node:
    """The message of that id and one of those roles. Raises CommandRefused."""
    node = state.nodes.get(identity)
    if node is None or node.role not in roles:
        kind = "answer" if roles == ("ai",) else "message"
        raise CommandRefused("not_found", f"There is no {kind} of that id.")
    return node


def said_otherwise(command: EditCommand, node: Node, state: Conversation) -> Prompt:
    """A person's message in other words, beside what was said first."""
    answer = _last_answer(node, state)
    return Prompt(
        id=new_id(),
        run=new_id(),
        message=command.message,
        cmd_id=command.cmd_id,
        parent_id=node.parent_id,
        at_leaf=False,
        params=_params_of(answer),
    )


def answered_anew(command: RegenerateCommand, answer: Node, question: Node) -> Prompt:
    """Another answer to the same message, by the same rules but with other luck."""
    return Prompt(
        id=question.id,
        run=new_id(),
        message=str(question.content),
        cmd_id=command.cmd_id,
        parent_id=question.parent_id,
        at_leaf=False,
        params=_params_of(answer),
        said=True,
    )


def gone_on(command: ContinueCommand, answer: Node, question: Node) -> Prompt:
    """The same answer, from where it ended, by the model that wrote it."""
    return Prompt(
        id=question.id,
        run=answer.id,
        message=str(question.content),
        cmd_id=command.cmd_id,
        parent_id=question.parent_id,
        at_leaf=False,
        model=answer.model,
        params=answer.params,
        said=True,
        begun=True,
        tokens_before=answer.usage.completion_tokens if answer.usage is not None else 0,
    )


def _last_answer(question: Node, state: Conversation) -> Node | None:
    answers = (node for node in reversed(state.nodes.values()) if node.parent_id == question.id and node.role == "ai")
    return next(answers, None)


def _params_of(answer: Node | None) -> ChatParams | None:
    """What an answer was asked for with, but for the seed: that would give the same answer again."""
    if answer is None or answer.params is None:
        return None
    return answer.params.model_copy(update={"seed": None})
