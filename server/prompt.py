"""A message that a person said, once it is accepted. Knows nothing of who answers it, or when."""

from __future__ import annotations

from dataclasses import dataclass

import uuid_utils

from server.commands import CommandRefused
from server.fold import Conversation
from server.protocol import ChatParams, UserCommand


@dataclass(slots=True, frozen=True)
class Prompt:
    """It is being answered, or waits for its turn. `run` is the id of the answer to it."""

    id: str
    run: str
    message: str
    cmd_id: str | None = None
    parent_id: str | None = None  # None: whatever the last message is when its turn comes
    model: str | None = None
    params: ChatParams | None = None
    think: bool | None = None


def accept(command: UserCommand, state: Conversation, max_chars: int) -> Prompt:
    """Make a prompt of what was said, with ids of its own. Raises CommandRefused."""
    if not command.message.strip():
        raise CommandRefused("bad_message", "message: There is nothing in it.")
    if len(command.message) > max_chars:
        raise CommandRefused("message_too_long", f"The message is longer than {max_chars:,} characters.")
    parent = state.nodes.get(command.parent_id) if command.parent_id else None
    if command.parent_id and (parent is None or parent.role != "ai"):
        raise CommandRefused("not_found", "There is no answer of that id to follow.")
    return Prompt(
        id=str(uuid_utils.uuid7()),
        run=str(uuid_utils.uuid7()),
        message=command.message,
        cmd_id=command.cmd_id,
        parent_id=command.parent_id,
        model=command.model,
        params=command.params,
        think=command.think,
    )
