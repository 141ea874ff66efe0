"""A backend that says as many pieces as it is asked for, at the pace it is asked for: `recite 1000 2 12`.

That is 1000 pieces, 2 ms apart, of 12 characters each, of which each becomes a frame of its own. `tasks` is answered by
the number of tasks on the server's event loop, and anything else by `Yes.`, at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence

from backends.base import Backend, Done, Event, GenerationRequest, ModelInfo, Text, Usage


class Reciter(Backend):
    """Needs nothing, and computes nothing."""

    name = "reciter"

    async def list_models(self) -> Sequence[ModelInfo]:
        return [ModelInfo("reciter", context_length=32_768)]

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        words = request.messages[-1].content.split() if request.messages else []
        if words[:1] == ["recite"]:
            pieces, pace_ms, length = (int(word) for word in words[1:])
            piece = Text("a" * (length - 1) + "\n", token_ids=(1,))
            due = time.monotonic()
            for _ in range(pieces):
                yield piece
                due += pace_ms / 1000
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        else:
            pieces = 1
            yield Text(str(len(asyncio.all_tasks())) if words == ["tasks"] else "Yes.", token_ids=(1,))
        yield Done("stop", Usage(1, 0, pieces))
