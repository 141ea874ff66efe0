"""What a connection's client has not taken yet: watched, so that one that takes nothing does not stay for ever.

Neither asyncio nor uvicorn has a limit to that: a transport that is closed waits until its last byte has gone.
"""

from __future__ import annotations

import asyncio


class UnsentWatch:
    """Cuts `transport` off when, in `seconds`, its client takes less than `pace` bytes of what is left for it."""

    def __init__(self, transport: asyncio.Transport, seconds: float, pace: int) -> None:
        self._transport = transport
        self._seconds = seconds
        self._pace = pace
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch from now on, until nothing is left. To be called when no more is going to be written for a while."""
        if self._timer is None and (left := self._transport.get_write_buffer_size()):
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look, left)

    def stop(self) -> None:
        """The client has taken enough, or is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, before: int) -> None:
        self._timer = None
        left = self._transport.get_write_buffer_size()
        if left and before - left < self._pace:
            self._transport.abort()
        else:
            self.start()
