"""From what the history keeps of a conversation to its state in memory, with whatever was going on in it.

Knows values only: who goes on with the answer is another module's matter.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.checkpoint import Checkpoint
from server.fold import Conversation
from server.history.records import Stored
from server.node import Node
from server.prompt import Prompt
from server.protocol import QueuedPrompt


@dataclass(slots=True, frozen=True)
class Revived:
    """A conversation as it was: its state, what waits, where its unfinished answer stands, and answers cut for good."""

    state: Conversation
    queue: tuple[Prompt, ...]
    checkpoint: Checkpoint | None
    cut: tuple[Node, ...]


def revive(stored: Stored) -> Revived:
    """Put a stored conversation together again."""
    state = Conversation()
    state.seq = stored.head
    for record in stored.messages:
        state.restore(record.message, record.position)
    queue = tuple(Prompt.load(data) for data in stored.queue)
    state.queue = {
        prompt.id: QueuedPrompt(id=prompt.id, message=prompt.message, cmd_id=prompt.cmd_id) for prompt in queue
    }
    checkpoint = Checkpoint.load(stored)
    answer = state.nodes.get(checkpoint.prompt.run) if checkpoint is not None else None
    if answer is None:
        checkpoint = None
    else:
        _grow(answer, stored)
    cut = tuple(node for node in state.nodes.values() if node.running and node is not answer)
    return Revived(state, queue, checkpoint, cut)


def _grow(answer: Node, stored: Stored) -> None:
    """Add to an answer what came of it until it was cut."""
    answer.kept = (answer.content.length, answer.reasoning.length)
    for piece in stored.pieces:
        text = answer.content if piece.channel == "content" else answer.reasoning
        text.add(text.length, piece.text)
