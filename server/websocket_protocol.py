"""uvicorn's WebSocket protocol, made to bear clients that take nothing, take it slowly, or send what they must not.

Knows bytes and timers only. To be given to uvicorn as `ws=`. This is different from what uvicorn does:

    while the client does not take what is sent, nothing more is read from it, so that a flood of pings whose pongs it
    never reads costs no memory
    a client that takes a long answer slowly is alive, although its pong waits behind that answer
    a client that takes nothing is cut off, even though bytes for it are left: a polite close would wait for ever
    a client that broke the protocol learns how: what it still sends is thrown away until it has read the reason
    the application may write whole frames, made once for many sockets, and several of them in one write
    what is no text costs its sender the connection, and not a traceback in the log
    a handshake that the application refused is over, and no error in the log
    once uvicorn itself has begun to close, the application's sends find a client that is gone, and not a mistake
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from server.frames import EXTENSION

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
    from websockets.http11 import Request

FAREWELL_S = 1.0  # for the close frame to leave


class ChatSocketProtocol(WebSocketsSansIOProtocol):
    """One connection's bytes, from the handshake to the end."""

    leave: Callable[[], None] | None = None  # to be called when it is gone
    _lent: dict[str, object] | None = None  # where the application finds `write_frames`
    _unsent_at_ping = 0
    _refusing = False  # the client broke the protocol, and has been told

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._lent is not None:
            self._lent.pop(EXTENSION)  # or we would hold ourselves in memory
        if self.leave is not None:
            self.leave()

    def refuse_handshake(self) -> None:
        """End a connection whose handshake was HTTP, but not one that the WebSocket's own parser took."""
        self.handshake_complete = self.close_sent = True
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.handshake_complete:
            self._lent = cast(dict[str, object], self.scope["extensions"])
            self._lent[EXTENSION] = self.write_frames

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True

    async def write_frames(self, frames: bytes) -> None:
        """Send whole frames, made by the application. Raises OSError when the client is gone, or going."""
        if not self.writable.is_set():
            await self.writable.wait()
        if self.disconnected or self.close_sent or self.conn.state is not State.OPEN:
            raise ClientDisconnected
        self.transport.write(frames)

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    async def receive(self) -> ASGIReceiveEvent:
        event = await super().receive()
        if not self.writable.is_set() and not self.transport.is_closing():
            self.transport.pause_reading()  # uvicorn has just resumed it
        return event

    def send_keepalive_ping(self) -> None:
        if self.transport.is_closing():
            self.transport.abort()  # a whole interval was not enough to take what was left
            return
        super().send_keepalive_ping()
        self._unsent_at_ping = self.transport.get_write_buffer_size()
        if self.ping_timer is None and self.pong_timer is None:
            self.schedule_ping()  # a close is under way: look again whether it came about

    def keepalive_timeout(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent_at_ping and self.ping_timeout is not None:
            self._unsent_at_ping = unsent
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self.disconnected = True
        self.loop.call_later(FAREWELL_S, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        if not self._refusing:
            super().data_received(data)

    def send_receive_event_to_app(self) -> None:
        """uvicorn would log a traceback for every text that is none."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not is_text(b"".join(self.frames)):
            self.frames = []
            self.conn.send_close(1007, "invalid UTF-8")
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Say why, and for a moment throw away what still comes in.

        To close a socket with bytes unread is answered by the kernel with a reset, which overtakes the reason: whoever
        sent a frame that is too large would only see a lost connection, and send it again.
        """
        closing = self.conn.close_sent
        assert closing is not None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": closing.code, "reason": closing.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.resume_reading()
        self.stop_keepalive()
        self.close_sent = self.disconnected = self._refusing = True
        self.close_timer = self.loop.call_later(FAREWELL_S, self.transport.close)


def is_text(data: bytes) -> bool:
    """Whether `data` is UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
