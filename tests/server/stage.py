"""A hub that a test holds by the hand: a backend that says what it is told, a clock, a session and a reader in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from backends.base import (
    Event,
    ModelInfo,
)
from server.dispatcher import Accepted
from server.hub import Hub
from server.options import HubOptions
from server.protocol import UserCommand
from tests.server.doubles import ManualClock, Puppet, Reader


class Stage:
    """A hub over a puppet, with a session and a reader in it."""

    def __init__(self, hub: Hub, puppet: Puppet, clock: ManualClock) -> None:
        self.hub, self.puppet, self.clock = hub, puppet, clock
        self.session = hub.create()
        self.reader = Reader(self.session.subscribe())

    def ask(self, message: str = "Hi", **more: object) -> Accepted:
        return self.hub.ask(self.session, UserCommand.model_validate({"message": message, **more}))

    async def answered(
        self, *lines: str | Event | Exception, question: str = "Hi", **more: object
    ) -> dict[str, object]:
        """Ask, let the puppet say the lines, and give the event that ends the run."""
        self.ask(question, **more)
        self.puppet.say(*lines)
        return await self.reader.until_end()


def on_stage(
    scenario: Callable[[Stage], Awaitable[None]],
    *models: ModelInfo,
    options: HubOptions | None = None,
    puppet: Puppet | None = None,
) -> None:
    puppet = puppet or Puppet(*models)

    async def run() -> None:
        clock = ManualClock()
        hub = Hub([puppet], options or HubOptions(), clock)
        await hub.start()
        try:
            await scenario(Stage(hub, puppet, clock))
        finally:
            await hub.close()
        assert clock.pending == 0, "a closed hub must leave no timer behind"

    asyncio.run(run())
