"""Does what clients ask for in a conversation: says, stops, edits, regenerates, continues, selects, removes, queues.

Each command is done once, however often it is sent; what cannot be done is refused with a sentence, and the
conversation is as it was. Knows nothing of sockets, backends or the history.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.base import FinishReason
from server.clock import Clock
from server.commands import CommandRefused
from server.prompt import accept, answered_anew, check_text, find, gone_on, new_id, said_otherwise
from server.protocol import (
    Ack,
    AiEvent,
    ClientMessage,
    ContinueCommand,
    EditCommand,
    QueueEditCommand,
    QueueMoveCommand,
    QueueRemoveCommand,
    RegenerateCommand,
    RemoveCommand,
    SelectCommand,
    SelectedEvent,
    StopCommand,
    TimingInfo,
    UsageInfo,
    UserCommand,
)
from server.session import Session
from server.turns import Turns

DONE: FinishReason = "stop"


@dataclass(slots=True, frozen=True)
class Accepted:
    """A prompt that was taken: its message's id, the id of the answer to it, and the `seq` of its first event."""

    id: str
    run: str
    seq: int


class Dispatcher:
    """The commands of one conversation."""

    def __init__(self, session: Session, turns: Turns, clock: Clock, max_chars: int) -> None:
        self._session = session
        self._turns = turns
        self._clock = clock
        self._max_chars = max_chars

    def execute(self, command: ClientMessage) -> Ack | None:
        """Do `command`, once: the same `cmd_id` again gets the same answer. Raises CommandRefused."""
        if (done := self._turns.receipts.find(command.cmd_id)) is not None:
            return done
        identity, seq = self._do(command)
        if command.cmd_id is None:
            return None
        ack = Ack(cmd_id=command.cmd_id, id=identity, seq=seq)
        self._turns.receipts.keep(ack)
        return ack

    def was_done(self, command: ClientMessage) -> bool:
        """Whether `command` was done before, under the same `cmd_id`."""
        return self._turns.receipts.find(command.cmd_id) is not None

    def ask(self, command: UserCommand) -> Accepted:
        """Say something: it is answered at once, or when the answers before it have ended. Raises CommandRefused."""
        prompt = accept(command, self._session.state, self._max_chars)
        return Accepted(prompt.id, prompt.run, self._turns.ask(prompt))

    def stop(self, identity: str | None = None) -> None:
        """End the run or take back the waiting prompt of that id; without one, end the newest run.

        What has ended already stays as it is. Raises CommandRefused for an id that never was.
        """
        if not self._turns.stop(identity):
            raise CommandRefused("not_found", "There is no answer of that id.")

    def _do(self, command: ClientMessage) -> tuple[str | None, int | None]:
        """Gives the id that the command was about or made, and the `seq` it led to."""
        match command:
            case UserCommand():
                accepted = self.ask(command)
                return accepted.id, accepted.seq
            case StopCommand():
                self.stop(command.id)
                return command.id, None
            case EditCommand():
                return self._edit(command)
            case RegenerateCommand():
                return self._regenerate(command)
            case ContinueCommand():
                return self._continue(command)
            case SelectCommand():
                find(self._session.state, command.id, "user", "ai")
                return command.id, self._session.publish(SelectedEvent(id=command.id))
            case RemoveCommand():
                find(self._session.state, command.id, "user", "ai", "notice")
                return command.id, self._turns.cut(command.id)
            case QueueEditCommand():
                check_text(command.message, self._max_chars)
                return self._in_queue(command.id, self._turns.reword(command.id, command.message))
            case QueueRemoveCommand():
                return self._in_queue(command.id, self._turns.remove(command.id))
            case QueueMoveCommand():
                return self._in_queue(command.id, self._turns.move(command.id, command.position))
            case _:
                raise CommandRefused("unsupported", "That is no command of a conversation.")

    def _edit(self, command: EditCommand) -> tuple[str, int]:
        check_text(command.message, self._max_chars)
        node = find(self._session.state, command.id, "user", "ai")
        if node.role == "user":
            prompt = said_otherwise(command, node, self._session.state)
            return prompt.id, self._turns.ask_now(prompt)
        if node.running:
            raise CommandRefused("overloaded", "The answer is still being written. Stop it first, or wait.")
        question = find(self._session.state, node.parent_id or "", "user")
        written = AiEvent(
            id=new_id(),
            parent_id=question.id,
            message=command.message,
            finish_reason=node.finish_reason or DONE,
            usage=UsageInfo(prompt_tokens=0, completion_tokens=0),
            timings=TimingInfo(),
            model=node.model or "",
            cmd_id=command.cmd_id,
            at=self._clock.today(),
        )
        return written.id, self._session.publish(written)

    def _regenerate(self, command: RegenerateCommand) -> tuple[str, int]:
        answer = find(self._session.state, command.id, "ai")
        question = find(self._session.state, answer.parent_id or "", "user")
        prompt = answered_anew(command, answer, question)
        return prompt.run, self._turns.ask_now(prompt)

    def _continue(self, command: ContinueCommand) -> tuple[str, int]:
        answer = find(self._session.state, command.id, "ai")
        question = find(self._session.state, answer.parent_id or "", "user")
        return answer.id, self._turns.ask_now(gone_on(command, answer, question))

    def _in_queue(self, identity: str, waits: bool) -> tuple[str, None]:
        if not waits:
            raise CommandRefused("not_found", "No message of that id is waiting.")
        return identity, None
