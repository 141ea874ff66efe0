"""uvicorn's HTTP protocol, made to bear clients that dawdle, flood, or take nothing of what they asked for.

Knows bytes and timers only. To be given to uvicorn as `http=`. This is different from what uvicorn does:

    a request's head has a deadline and a size, its body must come at a pace, and few requests may wait for their turn
    a client that takes nothing of its answer is cut off, instead of holding the connection for ever
    there is a limit to the connections of all and of one, which holds before anything is read, for WebSockets as well
    whoever is refused can read why: to close a socket with bytes unread is answered by the kernel with a reset, which
    overtakes the answer, so what a refused client still sends is thrown away for a moment
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Self

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.admission import RETRY_AFTER_S, Admission
from server.clock import Clock
from server.http_limits import HttpLimits, Refused, refusal
from server.request_log import HEADER, identify
from server.security import SECURITY_HEADERS
from server.sparingly import Sparingly
from server.unsent import UnsentWatch
from server.websocket_protocol import ChatSocketProtocol

SAID_ALWAYS = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

log = structlog.get_logger()


class Stage(Enum):
    """What of a request is being read."""

    NOTHING = auto()  # the connection has just begun, or a request has been read
    HEAD = auto()
    BODY = auto()


class ChatHttpProtocol(HttpToolsProtocol):
    """One connection's bytes, until its end or until it becomes a WebSocket."""

    limits = HttpLimits()
    admission = Admission()

    _sparingly = Sparingly(Clock())
    _stage = Stage.NOTHING
    _deadline: asyncio.TimerHandle | None = None  # of what is being read, or of the farewell
    _unparsed = 0  # bytes since something whole came of them
    _head = 0  # bytes of the head so far
    _body = 0  # bytes of the body since the deadline was last set
    _held_up = False  # since the deadline was last set, there was a time when the client had to wait for us
    _unsent: UnsentWatch
    _refused = False
    _leave: Callable[[], None] | None = None

    @classmethod
    def limited(cls, admission: Admission, limits: HttpLimits | None = None) -> type[Self]:
        """The protocol of one server, which has its own count of connections."""
        return type(cls.__name__, (cls,), {"admission": admission, "limits": limits or cls.limits})

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._unsent = UnsentWatch(transport, self.limits.unsent_s, self.limits.unsent_pace)
        address = self.client[0] if self.client else ""
        full = self.admission.refusal(address)
        if full is None:
            self._leave = self.admission.enter(address)
            self._expect(self.limits.head_s)
        else:
            self._leave = self.admission.turn_away()
            self._refuse(full.status, full.message, retry_after=RETRY_AFTER_S)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._expect(None)
        self._unsent.stop()
        if self._leave is not None:
            self._leave()

    def shutdown(self) -> None:
        if not self._refused:
            super().shutdown()

    # What comes in

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unset_keepalive_if_required()
        if self._stage is Stage.NOTHING:
            self._begin()
        self._unparsed += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(*((cause.status, str(cause)) if isinstance(cause, Refused) else (400, "That is no request.")))
        except httptools.HttpParserError:
            self._refuse(400, "That is not HTTP.")
        else:
            if self._unparsed > self.limits.head:
                self._refuse(431, "The head of the request is too long.")

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._become_websocket()
            else:
                self._read_without_upgrade(data[upgrade.args[0] :])

    def _read_without_upgrade(self, rest: bytes) -> None:
        """Read a request as if it had offered no other protocol; for the parser, one that does has no body."""
        headers = (header for header in self.headers if header[0] != b"upgrade")
        lines = (b"%b: %b\r\n" % header for header in headers)
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (self.parser.get_method(), self.url, b"".join(lines))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._feed(head + rest)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self.limits.waiting:
            raise Refused(503, "Too many requests wait in this connection.")
        super().on_message_begin()
        self._head = 0
        if self._stage is not Stage.HEAD:
            self._begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.url:
            raise Refused(414, "The address is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        size = len(name) + len(value)
        self._head += size
        if size > self.limits.header or self._head > self.limits.head or len(self.headers) > self.limits.headers:
            raise Refused(431, "The head of the request is too long.")

    def on_headers_complete(self) -> None:
        self._unparsed = 0
        if self.parser.should_upgrade():
            self._check_upgrade()
            return
        super().on_headers_complete()
        self._stage, self._body, self._held_up = Stage.BODY, 0, self.expect_100_continue
        self._expect(self.limits.body_s)
        self.cycle.transport = LingeringTransport(self)  # type: ignore[assignment]  # it has what a cycle uses

    def _check_upgrade(self) -> None:
        """The parser is going to stop here. See that what it was asked for can be done, or left undone."""
        if self.parser.get_method() == b"CONNECT":
            raise Refused(400, "This server is no proxy.")
        if self._should_upgrade():
            if self.cycle is not None and not self.cycle.response_complete:
                raise Refused(400, "An answer is still on its way in this connection.")
            super().on_headers_complete()
            self._expect(None)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._unparsed = 0
        self._body += len(body)
        self._held_up |= self.flow.read_paused

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._unparsed = 0
        self._stage = Stage.NOTHING
        self._expect(None)

    def _begin(self) -> None:
        self._stage, self._held_up = Stage.HEAD, False
        self._expect(self.limits.head_s)

    def _become_websocket(self) -> None:
        """Hand the connection over, and its place among those that are counted with it."""
        self.handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        assert isinstance(protocol, ChatSocketProtocol)
        protocol.leave, self._leave = self._leave, None
        self._unsent.stop()
        if not protocol.handshake_initiated:
            protocol.refuse_handshake()

    # Too late, too much

    def _expect(self, seconds: float | None) -> None:
        """Something must have come in that time; None: nothing need come."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        if self._stage is Stage.NOTHING:
            self.transport.close()  # nothing was asked, so nothing is answered
        elif self._held_up or self._waits_for_us():
            self._held_up, self._body = self._waits_for_us(), 0
            self._expect(self.limits.head_s if self._stage is Stage.HEAD else self.limits.body_s)
        elif self._stage is Stage.BODY and self._body >= self.limits.body_pace and not self.cycle.response_complete:
            self._body = 0
            self._expect(self.limits.body_s)
        else:
            self._refuse(408, "The request did not come in time.")

    def _waits_for_us(self) -> bool:
        if self.flow.read_paused:
            return True
        return self._stage is Stage.BODY and self.cycle.waiting_for_100_continue and not self.cycle.response_complete

    def _refuse(self, status: int, message: str, retry_after: int | None = None) -> None:
        """Answer in place of the application, if there is nothing in the way, and end the connection."""
        self._refused = True
        identity = identify({"type": "http", "headers": self.headers or []})
        more = self._sparingly.say(str(status))
        if more is not None:
            client = self.client and self.client[0]
            log.info("a connection was refused", status=status, client=client, more=more, request_id=identity)
        if self._can_answer() and self._leave is not None:
            headers = [*self.server_state.default_headers, *SAID_ALWAYS, (HEADER.encode(), identity.encode())]
            self.transport.write(refusal(status, message, headers, retry_after))
            self._farewell()
        else:
            self.transport.abort()
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _can_answer(self) -> bool:
        if self._stage is Stage.BODY:
            return not self.pipeline and not self.cycle.response_started
        return self.cycle is None or self.cycle.response_complete

    def _farewell(self) -> None:
        """Say no more, and throw away what still comes, until the client has had time to read."""
        self._refused = True
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.flow.resume_reading()
        self._unsent.start()
        self._expect(None)
        self._deadline = self.loop.call_later(self.limits.farewell_s, self._part)

    def _part(self) -> None:
        if self.transport.get_write_buffer_size():
            self._farewell()
        else:
            self.transport.abort()

    # What goes out

    def close_after_answer(self) -> None:
        """The answer is the last one. Whoever still sends the body that it is about must be able to read it."""
        if self._stage is Stage.NOTHING:
            self.transport.close()
        else:
            self._farewell()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unsent.start()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent.stop()
        if self.cycle is None or self.cycle.response_complete:
            self._unsent.start()


class LingeringTransport:
    """What one request's answer is written to. Its end lets the client finish what it is saying."""

    def __init__(self, protocol: ChatHttpProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        self._protocol.close_after_answer()
