"""What a model is shown of a conversation: the system prompt, then as many of the last turns as fit.

Knows nothing of sessions: it goes from a path through the tree to messages. A turn is a question and its answer; a
question that was left without any answer says nothing to the model and is left out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from backends.base import Message, TokenCount
from server.node import Node

LETTERS_A_TOKEN = 8


@dataclass(slots=True, frozen=True)
class Turn:
    """A question and its answer. `ids` are those of their messages in the tree."""

    ids: tuple[str, ...]
    messages: tuple[Message, ...]


@dataclass(slots=True, frozen=True)
class Context:
    """What is shown. `dropped`: the messages that no longer fit. `count`: the prompt's tokens, where it was counted."""

    messages: tuple[Message, ...]
    dropped: tuple[str, ...]
    count: TokenCount | None


def turns(path: Sequence[Node]) -> list[Turn]:
    """The turns along a path from the first message to an answer."""
    found = []
    for question, answer in pairwise(path):
        text = str(answer.content)
        if question.role == "user" and answer.role == "ai" and text:
            messages = (Message("user", str(question.content)), Message("assistant", text))
            found.append(Turn((question.id, answer.id), messages))
    return found


async def fit(
    system: str,
    history: Sequence[Turn],
    question: str,
    room: int | None,
    count: Callable[[tuple[Message, ...]], Awaitable[TokenCount]],
) -> Context:
    """Drop as few of the oldest turns as it takes for the prompt to fit into `room` tokens. `None` is boundless.

    The system prompt and the question always stay, even when they alone are too long: the backend will say so.
    Counting costs time that grows with the prompt, so the number to drop is found by halving, from a guess that spares
    a long conversation from being counted as a whole.
    """

    def shown(dropped: int) -> tuple[Message, ...]:
        first = (Message("system", system),) if system else ()
        kept = (message for turn in history[dropped:] for message in turn.messages)
        return (*first, *kept, Message("user", question))

    if room is None:
        return Context(shown(0), (), None)
    low, high = 0, len(history)  # how many to drop lies in low..high
    counted, middle = None, min(_guess(history, room), max(high - 1, 0))
    while low < high:
        tried = await count(shown(middle))
        if tried.n <= room:
            high, counted = middle, tried
        else:
            low = middle + 1
        middle = (low + high) // 2
    if counted is None:  # nothing of the history fits
        counted = await count(shown(high))
    return Context(shown(high), tuple(identity for turn in history[:high] for identity in turn.ids), counted)


def _guess(history: Sequence[Turn], room: int) -> int:
    """How many turns to drop at least, judged by their letters: a token seldom has more than `LETTERS_A_TOKEN`."""
    letters = room * LETTERS_A_TOKEN
    for number in range(len(history), 0, -1):
        letters -= sum(len(message.content) for message in history[number - 1].messages)
        if letters < 0:
            return number
    return 0
