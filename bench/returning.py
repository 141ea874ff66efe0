"""A client that comes back: it keeps its place in the log, says again what was not acknowledged, and folds the frames.

What a page does, without the page. Knows nothing of why the socket broke.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from server.fold import Conversation
from server.node import Node
from server.protocol import AnyLogEvent, Snapshot, SnapshotMessage

LOG_EVENT: TypeAdapter[AnyLogEvent] = TypeAdapter(AnyLogEvent)
RETRY_S = 0.05
PATIENCE_S = 90.0


class Lost(Exception):
    """The conversation is not what it was promised to be."""


class ReturningClient:
    """One conversation, for as long as `staying` lasts."""

    def __init__(self, port: int, session: str = "") -> None:
        """Joins `session`, or begins a new one."""
        self.state = Conversation()
        self.session, self._epoch = session, ""
        self.comebacks = -1  # times that it connected again
        self._port = port
        self._socket: ClientConnection | None = None
        self._unanswered: dict[str, str] = {}  # frames by `cmd_id`
        self._news = asyncio.Event()
        self._failure: Exception | None = None

    @asynccontextmanager
    async def staying(self) -> AsyncGenerator[ReturningClient]:
        """Meanwhile it connects again and again. Entered when it has a conversation."""
        task = asyncio.create_task(self._stay())
        try:
            await self.until(lambda: bool(self.session))
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def say(self, message: str, params: Mapping[str, object]) -> str:
        """Ask something. Gives the command's `cmd_id`."""
        return await self.do({"type": "user", "message": message, "params": dict(params)})

    async def do(self, command: Mapping[str, object]) -> str:
        """Send a command, again and again until it is acknowledged. Gives its `cmd_id` at once."""
        cmd_id = uuid4().hex
        self._unanswered[cmd_id] = json.dumps({**command, "cmd_id": cmd_id})
        if self._socket is not None:
            with suppress(WebSocketException):  # it is said when it is back
                await self._socket.send(self._unanswered[cmd_id])
        return cmd_id

    def acknowledged(self, cmd_id: str) -> bool:
        """Whether the server has said that it keeps what was said."""
        return cmd_id not in self._unanswered

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds, looking again after each frame. Raises Lost for a log with holes and a lost session."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if self._failure is not None:
                    raise Lost(str(self._failure)) from self._failure
                await self._news.wait()

    def question(self, cmd_id: str) -> Node | None:
        """The message that a command said, once it is known here."""
        said = (node for node in self.state.nodes.values() if node.role == "user" and node.cmd_id == cmd_id)
        return next(said, None)

    def answer(self, cmd_id: str) -> Node | None:
        """The answer to it."""
        question = self.question(cmd_id)
        answers = (node for node in self.state.nodes.values() if question and node.parent_id == question.id)
        return next(answers, None)

    def text(self, cmd_id: str) -> str:
        """What there is of the answer to it."""
        answer = self.answer(cmd_id)
        return str(answer.content) if answer is not None else ""

    def ended(self, *cmd_ids: str) -> bool:
        """Whether all these are answered."""
        answers = map(self.answer, cmd_ids)
        return all(answer is not None and not answer.running for answer in answers)

    @property
    def messages(self) -> list[SnapshotMessage]:
        """The tree as it is known here."""
        return [self.state.message(node) for node in self.state.nodes.values()]

    async def _stay(self) -> None:
        try:
            while True:
                with suppress(OSError, TimeoutError, WebSocketException):
                    await self._visit()
                self._socket = None
                await asyncio.sleep(RETRY_S)
        except Exception as error:
            self._failure = error
            self._tell()

    async def _visit(self) -> None:
        place = f"?session={self.session}" if self.session else ""
        if self._epoch:
            place += f"&epoch={self._epoch}&after={self.state.seq}"
        async with connect(f"ws://127.0.0.1:{self._port}/ws{place}", compression=None, max_queue=None) as socket:
            self._greet(json.loads(await socket.recv()))
            self._socket = socket
            for command in tuple(self._unanswered.values()):
                await socket.send(command)
            async for frame in socket:
                self._read(json.loads(frame))

    def _greet(self, hello: dict[str, object]) -> None:
        if hello["type"] != "system" or self.session not in ("", hello["session"]):
            raise Lost(f"The conversation is gone: {hello}")
        self.session, self._epoch = str(hello["session"]), str(hello["epoch"])
        self.comebacks += 1
        self._tell()

    def _read(self, frame: dict[str, object]) -> None:
        kind = frame["type"]
        if kind == "snapshot":
            self.state = Conversation.from_snapshot(Snapshot.model_validate(frame))
        elif kind == "ack":
            self._unanswered.pop(str(frame["cmd_id"]), None)
        elif kind == "error" and frame.get("cmd_id") in self._unanswered:
            raise Lost(f"The server refused: {frame['message']}")
        elif "seq" in frame:
            self.state.apply(LOG_EVENT.validate_python(frame))
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
