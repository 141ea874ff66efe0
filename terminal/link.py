"""The connection to a conversation: opens it, keeps it, comes back after a cut, and loses no command.

Owns the WebSocket, the waiting between attempts, and the outbox of commands that nothing has answered yet. What the
frames mean beyond hello, ack, and errors that name a command, is its listener's matter.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import secrets
from contextlib import suppress
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from terminal.address import Address
from terminal.conversation import Conversation
from terminal.frames import Ack, BadFrame, Frame, Refused, System, read
from terminal.trouble import NoServer, Trouble

FIRST_DELAY_S, LONGEST_DELAY_S, LONGEST_TOLD_S = 3.0, 30.0, 3600.0
HANDSHAKE_S = 10.0
PING_EVERY_S = 10.0  # a line that says nothing for as long again is dead
MAX_FRAME_BYTES = 1 << 28  # a snapshot holds a whole conversation
NEVER_AGAIN = {
    4400: "The server does not understand this program; are they of the same version?",
    4401: "The server does not let you in. Give it a key with --key or SWITCHBOARD_KEY.",
    4404: "The conversation is gone: somebody deleted it.",
}
NO_SENSE = "What the server says makes no sense; is it a Switchboard, and of this version?"
NO_SOCKET = "it does not speak WebSocket."
AT_ONCE, FRAME_TOO_BIG = 4408, 1009
WHEN_TOLD = {1012, 1013, 4429}
REFUSALS = {
    401: NEVER_AGAIN[4401],
    403: "The server refuses this program (403). It may want a key: --key or SWITCHBOARD_KEY.",
    404: "There is a server, but it has no /ws: it is no Switchboard, or lies under another path.",
    400: "The server does not answer to that host name; its ALLOWED_HOSTS must list it.",
}


class Listener(Protocol):
    """Who is told what happens on the line. Called on the event loop; must not wait."""

    def heard(self, frame: Frame) -> None:
        """The server said something. Raise Gap to come back from the conversation's place."""

    def line_lost(self, delay: float) -> None:
        """The line is down; it is tried again in so many seconds."""


class Gap(Exception):
    """Something of the log is missing."""


def retry_delay(code: int, reason: str, attempt: int) -> float:
    """Seconds to wait before another attempt, after so many that failed in a row."""
    if code == AT_ONCE and attempt == 0:
        return 0.0
    told = re.search(r"retry_after=(\d+(?:\.\d+)?)", reason)
    if code in WHEN_TOLD and told:
        return float(min(float(told[1]), LONGEST_TOLD_S)) * random.uniform(1, 1.25)
    return float(min(FIRST_DELAY_S * 2**attempt, LONGEST_DELAY_S)) * random.uniform(0.8, 1.2)


class Link:
    """One line to the server, at the place where `conversation` is."""

    def __init__(self, address: Address, conversation: Conversation, listener: Listener) -> None:
        self.conversation = conversation
        self.up = False
        self._address = address
        self._listener = listener
        self._outbox: dict[str, dict[str, Any]] = {}
        self._socket: ClientConnection | None = None
        self._wake = asyncio.Event()
        self._left = False  # the socket is closed on purpose
        self._said = asyncio.Event()  # there is something in the outbox that was not sent on this socket
        self._unsent: list[str] = []
        self._attempt = 0
        self._ever_up = False

    async def run(self) -> None:
        """Be connected until cancelled. Raises Trouble when there is no coming back; NoServer: there never was one."""
        while True:
            code, reason = 1006, ""
            try:
                async with self._connect() as socket:
                    await self._converse(socket)
                code, reason = socket.close_code or 1006, socket.close_reason or ""
            except (Gap, TimeoutError):
                code = AT_ONCE
            except BadFrame as error:
                raise Trouble(NO_SENSE) from error
            except InvalidStatus as refused:
                code, reason = self._judge(refused)
            except InvalidHandshake as error:
                if not self._ever_up:
                    raise Trouble(f"What answers at {self._address.url} is no Switchboard: {NO_SOCKET}") from error
            except OSError as error:
                if not self._ever_up:
                    raise NoServer(self._address.url) from error
            finally:
                self._socket, self.up = None, False
            await self._pause(code, reason)

    def send(self, command: dict[str, Any]) -> str:
        """Say a command, now or as soon as the line is up, until the server has answered it. Gives its `cmd_id`."""
        cmd_id = secrets.token_hex(16)
        self._outbox[cmd_id] = {**command, "cmd_id": cmd_id}
        self._unsent.append(cmd_id)
        self._said.set()
        return cmd_id

    def wake(self) -> None:
        """If the line is down, try it now rather than later."""
        self._wake.set()

    async def change(self, conversation: Conversation) -> None:
        """Go to another conversation. What was not yet said in this one is dropped."""
        self.conversation = conversation
        self._outbox.clear()
        self._unsent.clear()
        self._attempt = 0
        self.wake()
        if self._socket is not None:
            self.up, self._left = False, True
            await self._socket.close()

    # The line

    def _connect(self) -> connect:
        return connect(
            self._address.socket(**self.conversation.place()),
            additional_headers=self._address.headers,
            open_timeout=HANDSHAKE_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            close_timeout=1,
            max_size=MAX_FRAME_BYTES,
        )

    async def _converse(self, socket: ClientConnection) -> None:
        """Hear and speak until the socket is closed."""
        self._socket = socket
        speaking = asyncio.create_task(self._speak(socket))
        try:
            with suppress(ConnectionClosed):
                async for text in socket:
                    self._hear(read(text))
        finally:
            speaking.cancel()
            await asyncio.wait((speaking,))

    def _hear(self, frame: Frame) -> None:
        if isinstance(frame, Refused) and frame.code == "rate_limited":
            asyncio.get_running_loop().call_later((frame.retry_after or 1) + random.random() / 2, self._say_all)
        elif isinstance(frame, (Ack, Refused)) and frame.cmd_id is not None:
            self._outbox.pop(frame.cmd_id, None)
        if isinstance(frame, System) and frame.session is not None:
            self._greeted(frame)
        self._listener.heard(frame)

    def _greeted(self, hello: System) -> None:
        if self.conversation.session not in (None, hello.session):  # what names messages of the other makes no sense
            self._outbox = {key: command for key, command in self._outbox.items() if "id" not in command}
        self._attempt, self.up, self._ever_up = 0, True, True
        self._say_all()

    def _say_all(self) -> None:
        self._unsent = list(self._outbox)
        self._said.set()

    async def _speak(self, socket: ClientConnection) -> None:
        while True:
            await self._said.wait()
            self._said.clear()
            while self.up and self._unsent:
                command = self._outbox.get(self._unsent.pop(0))
                if command is not None:
                    with suppress(ConnectionClosed):  # it is said again on the next one
                        await socket.send(json.dumps(command))

    # Coming back

    def _judge(self, refused: InvalidStatus) -> tuple[int, str]:
        """What to do about a handshake that was answered with a status. Raises Trouble when there is nothing to do."""
        status = refused.response.status_code
        if status in REFUSALS:
            raise Trouble(REFUSALS[status]) from refused
        if status not in (429, 502, 503, 504) and not self._ever_up:
            raise Trouble(f"The server refuses the conversation with the status {status}.") from refused
        return 1013, f"retry_after={refused.response.headers.get('Retry-After', '')}"

    async def _pause(self, code: int, reason: str) -> None:
        if code in NEVER_AGAIN:
            raise Trouble(NEVER_AGAIN[code])
        if code == FRAME_TOO_BIG:
            self._give_up_the_largest()
        if self._left:
            self._left = False
            return
        delay = retry_delay(code, reason, self._attempt)
        self._attempt += 1
        if delay:
            self._listener.line_lost(delay)
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._wake.wait()

    def _give_up_the_largest(self) -> None:
        """One of the commands was too large for the server, which cannot say which."""
        largest = max(self._outbox, key=lambda key: len(json.dumps(self._outbox[key])), default=None)
        if largest is not None:
            del self._outbox[largest]
            told = "That message is too long for this server. Shorten it."
            self._listener.heard(Refused(type="error", code="message_too_long", message=told, cmd_id=largest))
