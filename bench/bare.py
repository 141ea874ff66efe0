"""The least that can be served over WebSockets with uvicorn and Starlette: what the hub's figures are compared with.

    python -m bench.bare     prints its address

`/ws` sends back what it is sent. `recite 1000 2 170` is sent on to everybody instead: 1000 texts of 170 bytes, 2 ms
apart, then `over`. There is no log, no order, no bound and no coming back.
"""

from __future__ import annotations

import asyncio
import time

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.process import bind


class Bare:
    """All sockets."""

    def __init__(self) -> None:
        self._sockets: set[WebSocket] = set()

    async def endpoint(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("welcome")
        self._sockets.add(websocket)
        try:
            while True:
                text = await websocket.receive_text()
                if text.startswith("recite "):
                    await self._recite(*(int(word) for word in text.split()[1:]))
                else:
                    await websocket.send_text(text)
        except WebSocketDisconnect:
            pass
        finally:
            self._sockets.discard(websocket)

    async def _recite(self, pieces: int, pace_ms: int, length: int) -> None:
        due = time.monotonic()
        for _ in range(pieces):
            await self._broadcast("a" * length)
            due += pace_ms / 1000
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await self._broadcast("over")

    async def _broadcast(self, text: str) -> None:
        for websocket in tuple(self._sockets):
            await websocket.send_text(text)


def main() -> None:
    """Serve until it is told to stop."""
    listener = bind("127.0.0.1", 0)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    app = Starlette(routes=[WebSocketRoute("/ws", Bare().endpoint)])
    config = uvicorn.Config(
        app, ws="websockets-sansio", ws_per_message_deflate=False, lifespan="off", log_config=None, access_log=False
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
