"""The stateless requests that are being answered: whose they are, and how one is cancelled by its id.

Knows nothing of HTTP or of any API's words. The answers of conversations are not here: those are stopped in theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import uuid_utils

from backends.base import BackendError
from server.caller import Caller


class RequestCancelled(BackendError):
    """Somebody who may has cancelled the request by its id. Its client is still there, and hears of it."""

    code: ClassVar[str] = "cancelled"


@dataclass(slots=True, eq=False)
class RunningRequest:
    """`id` is this request's alone, `given` what its client called it."""

    id: str
    given: str
    caller: Caller
    task: asyncio.Task[object]
    cancelled: bool = False

    def cancel(self) -> None:
        """End the work at its next wait. Once is enough: a second time changes nothing."""
        if not self.cancelled:
            self.cancelled = True
            self.task.cancel()


class RunningRequests:
    """All stateless requests that are being answered at this moment."""

    def __init__(self) -> None:
        self._requests: dict[str, RunningRequest] = {}

    def __len__(self) -> int:
        return len(self._requests)

    @contextmanager
    def enter(self, given: str, caller: Caller) -> Iterator[str]:
        """The request that the current task answers runs within this context. Gives its id: `given`, made unique.

        Raises RequestCancelled out of the context when it is cancelled by its id.
        """
        task = asyncio.current_task()
        assert task is not None
        request = RunningRequest(self._unique(given), given, caller, task)
        self._requests[request.id] = request
        try:
            yield request.id
        except asyncio.CancelledError:
            if request.cancelled and task.uncancel() <= 0:  # else somebody else wants the task to end, too
                raise RequestCancelled("The request was cancelled.") from None
            raise
        finally:
            del self._requests[request.id]

    def cancel(self, identity: str, owner: str) -> bool:
        """Cancel what `owner` asked for under that id, their own or ours. False where no such request runs."""
        theirs = [request for request in self._requests.values() if request.caller.owner == owner]
        meant = [request for request in theirs if identity in (request.id, request.given)]
        for request in meant:
            request.cancel()
        return bool(meant)

    def send_away(self, whom: Callable[[Caller], bool]) -> None:
        """Cancel whatever those callers asked for."""
        for request in self._requests.values():
            if whom(request.caller):
                request.cancel()

    def _unique(self, given: str) -> str:
        return given if given and given not in self._requests else str(uuid_utils.uuid7())
