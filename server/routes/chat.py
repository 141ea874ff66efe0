"""`POST /api/chat`: say something in a conversation, and get its ids at once; the answer comes over its stream.

One address for three kinds of clients, told apart by what they send, whatever Content-Type they give it:

    {session_id, message} as a form    a fragment of HTML, for a page that puts it in place
    {"message": …}                     JSON with the ids
    {"messages": […]}                  an answer as Ollama gives it, which is another module's matter
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, JSONResponse, Response

from server.bodies import Body, fitting, is_json, read_form, read_json
from server.caller import caller_of
from server.commands import CommandRefused
from server.dispatcher import Accepted
from server.hub import Hub
from server.opening import opened
from server.protocol import ChatParams, UserCommand
from server.refusals import refusal
from server.session import Session

PATH = "/api/chat"
STATUSES = {"message_too_long": 413, "overloaded": 503}

Conversing = Callable[[Hub, Request, Mapping[str, Any]], Awaitable[Response]]

log = structlog.get_logger()


class ChatForm(Body):
    """What a page's form sends. The name of the conversation is the page's choice."""

    session_id: Annotated[str, Field(min_length=1, max_length=64)]
    message: str


class ChatRequest(Body):
    """Say something. Without `session_id` it begins a conversation."""

    message: str
    session_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    params: ChatParams | None = None
    think: bool | None = None


class ChatAnswer(BaseModel):
    """It is said. `message_id` is the answer's, as its stream names it; `user_id` that of what was said."""

    success: bool = True
    session_id: str
    message_id: str
    user_id: str


def chat_router(hub: Hub, converse: Conversing) -> APIRouter:
    """`POST /api/chat`, over `hub`. `converse` answers whoever sends the whole conversation."""
    router = APIRouter(prefix=PATH, tags=["chat"])

    @router.post("", response_class=Response)
    async def chat(request: Request) -> Response:
        """Say something, or ask with a whole conversation."""
        body = await request.body()
        if not is_json(body):
            return await _by_form(hub, request, fitting(ChatForm, read_form(body)))
        asked = read_json(body)
        if isinstance(asked, dict) and "message" not in asked and ("messages" in asked or "model" in asked):
            return await converse(hub, request, asked)
        return await _by_json(hub, request, fitting(ChatRequest, asked))

    return router


async def _by_form(hub: Hub, request: Request, form: ChatForm) -> Response:
    """The fragment goes out before anything else can happen: the answer's first word finds its place there."""
    session = await opened(hub, form.session_id, caller_of(request.scope).owner)
    try:
        accepted = _say(hub, session, UserCommand(message=form.message))
    except CommandRefused as refused:
        return _refused(refused)
    return HTMLResponse(fragment(form.message, accepted.run))


async def _by_json(hub: Hub, request: Request, asked: ChatRequest) -> Response:
    """What these ids name survives the server."""
    owner = caller_of(request.scope).owner
    session = await opened(hub, asked.session_id, owner) if asked.session_id else hub.create(owner)
    command = UserCommand(message=asked.message, model=asked.model, params=asked.params, think=asked.think)
    try:
        accepted = _say(hub, session, command)
    except CommandRefused as refused:
        return _refused(refused)
    await hub.saved(session)
    answer = ChatAnswer(session_id=session.id, message_id=accepted.run, user_id=accepted.id)
    return Response(answer.model_dump_json(), media_type="application/json")


def _say(hub: Hub, session: Session, command: UserCommand) -> Accepted:
    accepted = hub.ask(session, command)
    log.debug(f"Received message: '{command.message}' for session: {session.id}")
    return accepted


def fragment(message: str, answer: str) -> str:
    """What was said, and the place where the answer of that id is going to be."""
    return f"""<div class="message user">
    <div class="message-bubble">{escape(message)}</div>
</div>
<div class="message assistant" id="msg-{answer}">
    <div class="message-bubble">
        <span class="loading">Thinking...</span>
    </div>
</div>
"""


def _refused(refused: CommandRefused) -> JSONResponse:
    headers = None if refused.retry_after is None else {"retry-after": str(max(1, math.ceil(refused.retry_after)))}
    return refusal(PATH, STATUSES.get(refused.code, 422), refused.message, headers)
