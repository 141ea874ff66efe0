"""`/ws`: the chat's socket. What a client may ask for when it connects, and what becomes of each frame it sends.

Knows the protocol and the hub; what is said, and in which order, is the session's and the subscriber's matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import structlog
from starlette.datastructures import QueryParams
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from server.caller import caller_of
from server.commands import CommandRefused
from server.connections import Connection
from server.hello import hello
from server.history.records import HistoryError
from server.hub import Hub
from server.limiting.limiter import OFF, RateLimiter
from server.origins import OriginPolicy
from server.protocol import (
    Ack,
    BadFrame,
    ClientMessage,
    CloseCode,
    ContinueCommand,
    EditCommand,
    ErrorCode,
    ErrorMessage,
    Message,
    PingCommand,
    Pong,
    RegenerateCommand,
    UserCommand,
    encode,
    parse_command,
)
from server.rate import TokenBucket
from server.session import BadResume
from server.subscriber import Subscriber

log = structlog.get_logger()

BAD_FRAMES_IN_A_ROW = 20
COMMANDS_PER_S = 20.0
COMMANDS_AT_ONCE = 40
REFUSALS_IN_A_ROW = 40
RETRY_AFTER_S = 5
MAX_SEQ_DIGITS = 15
TOO_MANY_REQUESTS = "That is more than this server does for one client in so short a time."
STARTS_WORK = (UserCommand, EditCommand, RegenerateCommand, ContinueCommand)


def chat_socket(hub: Hub, policy: OriginPolicy, limiter: RateLimiter | None = None) -> WebSocketRoute:
    """The route of `/ws`, over `hub`, for the pages that `policy` lets in, and as often as `limiter` allows."""
    limiter = limiter or RateLimiter(OFF)

    async def endpoint(websocket: WebSocket) -> None:
        refusal = _refusal(websocket, policy)
        if refusal is not None:
            await websocket.send_denial_response(refusal)
            return
        await hub.connections.connect(websocket)
        try:
            connection = await greet(hub, websocket)
            await connection.run(Conversing(hub, connection, limiter).handle)
        except HistoryError as error:
            log.warning("a conversation could not be read", reason=str(error))
            await websocket.close(CloseCode.TRY_AGAIN, f"retry_after={RETRY_AFTER_S}")
        finally:
            hub.connections.disconnect(websocket)

    return WebSocketRoute("/ws", endpoint)


def _refusal(websocket: WebSocket, policy: OriginPolicy) -> PlainTextResponse | None:
    headers = websocket.scope["headers"]
    if not policy.host_ok(headers):
        return PlainTextResponse("This server does not answer to that host name.", 400)
    scheme = "https" if websocket.scope["scheme"] == "wss" else "http"
    if not policy.origin_ok(headers, websocket.headers["host"], scheme):
        return PlainTextResponse("This page may not connect here.", 403)
    return None


# Connecting


@dataclass(slots=True, frozen=True)
class Resume:
    """What a client says of the events it has. `bad`: it says what cannot be."""

    session: str | None = None
    epoch: str | None = None
    after: int | None = None
    bad: bool = False

    @classmethod
    def read(cls, query: QueryParams) -> Resume:
        session, epoch, after = query.get("session") or None, query.get("epoch"), query.get("after")
        if after is None:
            return cls(session, epoch)
        if epoch is None or not (after.isascii() and after.isdigit() and len(after) <= MAX_SEQ_DIGITS):
            return cls(session, bad=True)
        return cls(session, epoch, int(after))


async def greet(hub: Hub, websocket: WebSocket) -> Connection:
    """Let an accepted socket into its conversation, and say what it is told first. Raises HistoryError."""
    subscriber, opening = await enter(hub, Resume.read(websocket.query_params), caller_of(websocket.scope).owner)
    structlog.contextvars.bind_contextvars(session=subscriber.session.id)
    connection = hub.connections.attach(websocket, subscriber, lists=websocket.query_params.get("sessions") == "1")
    for message in (*opening, *hub.meter.messages(), *hub.news()):
        await subscriber.reply(encode(message))
    return connection


async def enter(hub: Hub, resume: Resume, owner: str) -> tuple[Subscriber, list[Message]]:
    """Subscribe a client to the session it names, or to a new one. Gives also what it is told first.

    A session of another owner's is one that nobody knows.
    """
    session = await hub.open(resume.session, owner)
    if resume.session is not None and session.id != resume.session:
        error = _error("unknown_session", "The server does not know that conversation any more. This is a new one.")
        return (subscriber := session.subscribe()), [error, hello(hub, session, subscriber)]
    try:
        if resume.bad:
            raise BadResume
        return (subscriber := session.subscribe(resume.after, resume.epoch)), [hello(hub, session, subscriber)]
    except BadResume:
        error = _error("bad_resume", "That is no place in this conversation to go on from. Here is all of it.")
        return (subscriber := session.subscribe()), [hello(hub, session, subscriber), error]


def _error(code: ErrorCode, text: str) -> ErrorMessage:
    return ErrorMessage(code=code, message=text)


# Frames


class Conversing:
    """Handles one connection's frames: each is done, answered with an error, or one too many."""

    def __init__(self, hub: Hub, connection: Connection, limiter: RateLimiter) -> None:
        self._hub = hub
        self._connection = connection
        self._limiter = limiter
        self._whom = limiter.whom(connection.websocket.scope)
        self._bucket = TokenBucket(COMMANDS_PER_S, COMMANDS_AT_ONCE, hub.clock)
        self._bad_frames = 0
        self._refusals = 0

    async def handle(self, text: str | None) -> None:
        """Take one frame; None is one that is not text."""
        answer = self._limited(text) or await self._answer(text)
        if answer is not None:
            subscriber = self._connection.subscriber
            if isinstance(answer, Ack):
                await self._hub.saved(subscriber.session)  # what was acknowledged survives the server
            await subscriber.reply(encode(answer))

    def _limited(self, text: str | None) -> ErrorMessage | None:
        wait = self._bucket.take()
        if not wait:
            self._refusals = 0
            return None
        self._refusals += 1
        if self._refusals >= REFUSALS_IN_A_ROW:
            self._connection.close(CloseCode.FLOOD, f"retry_after={RETRY_AFTER_S}")
        return _too_much("That is too much at once.", wait, _cmd_id(text))

    async def _answer(self, text: str | None) -> Message | None:
        try:
            if text is None:
                raise BadFrame("bad_message", "A frame is text, and this one is not.")
            command = parse_command(text)
        except BadFrame as bad:
            return self._bad(bad)
        self._bad_frames = 0
        return await self._do(command)

    async def _do(self, command: ClientMessage) -> Message | None:
        if isinstance(command, PingCommand):
            return Pong(cmd_id=command.cmd_id)
        if isinstance(command, UserCommand) and command.cmd_id is None and not command.message.strip():
            return None
        session = self._connection.subscriber.session
        if isinstance(command, STARTS_WORK) and not self._hub.was_done(session, command):
            verdict = await self._limiter.take(self._whom)
            if verdict is not None and verdict.wait_s > 0:
                again = f"Try again in {math.ceil(verdict.wait_s)} seconds."
                return _too_much(f"{TOO_MANY_REQUESTS} {again}", verdict.wait_s, command.cmd_id)
        try:
            return self._hub.execute(session, command)
        except CommandRefused as refused:
            return refused.error(command.cmd_id)

    def _bad(self, bad: BadFrame) -> ErrorMessage:
        self._bad_frames += 1
        if self._bad_frames >= BAD_FRAMES_IN_A_ROW:
            self._connection.close(CloseCode.BAD_CLIENT, "bad frames only")
        return ErrorMessage(code=bad.code, message=bad.message, cmd_id=bad.cmd_id)


def _too_much(message: str, wait_s: float, cmd_id: str | None) -> ErrorMessage:
    return ErrorMessage(code="rate_limited", message=message, cmd_id=cmd_id, retry_after=round(wait_s, 3))


def _cmd_id(text: str | None) -> str | None:
    """Which command a frame is, even when it is not going to be done."""
    try:
        return parse_command(text).cmd_id if text is not None else None
    except BadFrame as bad:
        return bad.cmd_id
