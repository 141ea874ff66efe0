"""The backend that recites, at a pace that leaves time to stop its server in the middle of an answer."""

from __future__ import annotations

import asyncio

from tests.faults.backends import Pace, Recital

TOKEN_S = 0.005


class Steady(Pace):
    """One token after the other, whoever waits."""

    async def token(self) -> None:
        await asyncio.sleep(TOKEN_S)


class Unhurried(Recital):
    """Takes a second for an answer."""

    name = "unhurried"

    def __init__(self) -> None:
        super().__init__()
        self.pace = Steady()
