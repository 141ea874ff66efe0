"""What a client's command comes to: done once, answered, or refused.

Owns the memory of commands that were done, so that one sent twice is done once. Knows nothing of sockets.
"""

from __future__ import annotations

from collections import OrderedDict

from server.clock import Clock
from server.protocol import Ack, ErrorCode, ErrorMessage

REMEMBERED_S = 300.0
REMEMBERED_COMMANDS = 4096


class CommandRefused(Exception):
    """A command that is not done, and why. The conversation is as it was."""

    def __init__(self, code: ErrorCode, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after

    def error(self, cmd_id: str | None) -> ErrorMessage:
        return ErrorMessage(code=self.code, message=self.message, cmd_id=cmd_id, retry_after=self.retry_after)


class Receipts:
    """The commands of one session that were done in the last five minutes, and how each was answered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._acks: OrderedDict[str, tuple[float, Ack]] = OrderedDict()

    def find(self, cmd_id: str | None) -> Ack | None:
        """The answer to a command that was done already."""
        self._forget()
        found = self._acks.get(cmd_id) if cmd_id is not None else None
        return found[1].model_copy(update={"duplicate": True}) if found else None

    def keep(self, ack: Ack) -> None:
        self._acks[ack.cmd_id] = (self._clock.now(), ack)
        self._forget()

    def _forget(self) -> None:
        oldest = self._clock.now() - REMEMBERED_S
        while self._acks:
            cmd_id, (at, _) = next(iter(self._acks.items()))
            if at > oldest and len(self._acks) <= REMEMBERED_COMMANDS:
                return
            del self._acks[cmd_id]
