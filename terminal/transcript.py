"""What of a conversation is on the screen, and what must be printed next.

Owns which messages were printed, and the answer that is being written, if one is. Knows the conversation's state and
the screen; nothing of sockets or of typing.
"""

from __future__ import annotations

from rich.text import Text

from terminal.answer import Answer, status_line
from terminal.characters import escape
from terminal.conversation import Conversation, Message
from terminal.screen import Screen

MOST_AT_ONCE = 20  # messages of a conversation that is opened again
MARK = "› "


class Transcript:
    """`mine`: the commands whose messages stand on the screen because they were typed there."""

    def __init__(self, screen: Screen) -> None:
        self.mine: set[str] = set()
        self._screen = screen
        self._seen: set[str] = set()
        self._answer: Answer | None = None

    def catch_up(self, conversation: Conversation, status: str) -> None:
        """Print whatever is new, and draw the answer that is being written."""
        if self._answer is not None and not self._still_runs(conversation, self._answer):
            self._answer = None
        path = conversation.path()
        if not self._seen and len(path) > MOST_AT_ONCE:
            self._seen = {message.id for message in path[:-MOST_AT_ONCE]}
            self._screen.note(f"({len(self._seen)} earlier messages are not shown.)")
        for message in path:
            if message.id not in self._seen:
                self._seen.add(message.id)
                self._print(message)
            elif message.running and self._answer is None:
                self._answer = Answer(self._screen, message, str(message.content))  # it goes on where it ended
        self.grew(conversation, status)

    def grew(self, conversation: Conversation, status: str) -> None:
        """Draw the answer that is being written, and `status`."""
        message = conversation.messages.get(self._answer.id) if self._answer else None
        if self._answer and message and not self._screen.typing:
            self._answer.show(message, status)
        elif status:
            self._screen.draw((), [status_line(status)])

    def leave(self) -> None:
        """Take away what may still change."""
        self._screen.draw((), ())

    def forget(self) -> None:
        """Another conversation comes."""
        self.leave()
        self._answer = None
        self._seen, self.mine = set(), set()

    def _still_runs(self, conversation: Conversation, answer: Answer) -> bool:
        """Close the answer if it has ended, or is gone."""
        message = conversation.messages.get(answer.id)
        if message is None:
            self._screen.note("(That answer was removed.)")
        elif not message.running:
            answer.close(message)
        return message is not None and message.running

    def _print(self, message: Message) -> None:
        if message.role == "ai":
            answer = Answer(self._screen, message)
            if message.running:
                self._answer = answer
            else:
                answer.close(message)
        elif message.role == "notice":
            self._screen.note(str(message.content))
        elif message.cmd_id not in self.mine:
            self._screen.print("", Text(f"{MARK}{escape(str(message.content))}", style="bold"))
