"""The conversations over HTTP: list, search, rename, pin, delete, restore, export and import.

What a request asks for is checked here; what it means is `Conversations`' and `Documents`' matter. Nothing here changes
on a GET. While the history is off, everything answers 503 with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, NoReturn

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException

from server.caller import caller_of
from server.conversations import Conversations
from server.documents import Documents, Export, Format, ImportBusy
from server.exchange.draft import DocumentError
from server.exchange.files import content_disposition
from server.history.cursors import BadCursor
from server.history.records import About, Found
from server.hub import Hub
from server.titles import MAX_TITLE_CHARS, one_line

MAX_LIMIT = 200
MAX_QUERY_CHARS = 200
RETRY_AFTER_S = "5"

SessionId = Annotated[str, Path(max_length=128, description="The conversation's id.")]


async def _owner(request: Request) -> str:
    """Whose conversations a request is about: there are no others for it."""
    return caller_of(request.scope).owner


Owner = Annotated[str, Depends(_owner)]


class SessionLine(BaseModel):
    """A conversation as the list shows it. Times are Unix seconds."""

    id: str
    title: str
    pinned: bool
    created: float
    updated: float
    running: Annotated[bool, Field(description="Whether an answer is being written in it.")]


class FoundLine(SessionLine):
    """A conversation that holds what was looked for."""

    message_id: Annotated[str | None, Field(description="The message that holds it; null: the title does.")]
    snippet: Annotated[str, Field(description="The words around it.")]
    marks: Annotated[
        list[tuple[int, int]], Field(description="The hits in the snippet: from and up to which code point.")
    ]


class SessionList(BaseModel):
    """A page of the list, pinned conversations first, then those that changed last; or what a search found."""

    sessions: list[FoundLine | SessionLine]
    next: Annotated[str | None, Field(description="Where the following page begins: give it back as `before`.")] = None


def _title(value: str) -> str:
    title = one_line(value)
    if not 1 <= len(title) <= MAX_TITLE_CHARS:
        raise ValueError(f"a title has 1 to {MAX_TITLE_CHARS} characters")
    return title


class SessionChange(BaseModel):
    """What is to be another: the title, whether the conversation is pinned, or both."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"title": "Tea", "pinned": True}]})

    title: Annotated[str, Field(max_length=10_000), AfterValidator(_title)] | None = None
    pinned: Annotated[bool, Field(strict=True)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> SessionChange:
        if self.title is None and self.pinned is None:
            raise ValueError("give a title, or whether it is pinned")
        return self


IMPORTED = {"imported": 1, "skipped": 0, "sessions": ["4f1c0e6a9b7d42c58e3f6a1b2c3d4e5f"], "problems": []}


class ImportAnswer(BaseModel):
    """What came of a document. `skipped`: conversations that were there already, and those that `problems` tells of."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"imported": 1, "skipped": 0, "sessions": ["4f1c0e6a9b7d42c58e3f6a1b2c3d4e5f"], "problems": []}
            ]
        }
    )

    imported: int
    skipped: int
    sessions: Annotated[list[str], Field(description="The ids of the conversations that came in.")]
    problems: Annotated[list[str], Field(description="Why conversations could not be taken, in sentences.")]


Refused = {"model": dict[str, Any], "description": 'Why not, as `{"error": "…"}`.'}
RESPONSES: dict[int | str, dict[str, Any]] = {404: Refused, 422: Refused, 503: Refused}
BINARY = {"schema": {"type": "string", "format": "binary"}}
IMPORT_BODY = {
    "requestBody": {
        "required": True,
        "description": "A document that was exported here, by Open WebUI or by ChatGPT; or a zip with such inside. "
        "Which of them it is shows itself; the Content-Type does not count.",
        "content": {"application/json": {"schema": {}}, "application/zip": BINARY},
    }
}
JSON_DOCUMENT: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}}}}
DOCUMENT: dict[int | str, dict[str, Any]] = {200: {"content": {**JSON_DOCUMENT[200]["content"], "text/markdown": {}}}}
DOCUMENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {**JSON_DOCUMENT[200]["content"], "application/zip": {}}}
}


def sessions_router(hub: Hub) -> APIRouter:
    """`/api/sessions`, `/api/export` and `/api/import`."""
    router = APIRouter(prefix="/api", tags=["conversations"], responses=RESPONSES)
    _add_list(router, hub.conversations)
    _add_changes(router, hub.conversations)
    _add_documents(router, hub.conversations.documents)
    return router


def _add_list(router: APIRouter, conversations: Conversations) -> None:
    @router.get("/sessions")
    async def list_sessions(
        owner: Owner,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="The most to list.")] = 50,
        before: Annotated[str | None, Query(max_length=512, description="The `next` of the page before.")] = None,
        q: Annotated[
            str, Query(max_length=MAX_QUERY_CHARS, description="What titles and messages are searched for.")
        ] = "",
    ) -> SessionList:
        """List the conversations a page at a time, or those that hold `q`, the best first."""
        if q.strip():
            found = await conversations.search(q, owner, limit=limit)
            return SessionList(sessions=[_found(conversations, each) for each in found])
        try:
            page = await conversations.list(owner, limit=limit, before=before)
        except BadCursor as error:
            raise HTTPException(422, str(error).removesuffix(".")) from error
        return SessionList(sessions=[_line(conversations, about) for about in page.items], next=page.next)


def _add_changes(router: APIRouter, conversations: Conversations) -> None:
    @router.patch("/sessions/{session_id}")
    async def change_session(owner: Owner, session_id: SessionId, change: SessionChange) -> SessionLine:
        """Rename a conversation, pin it, or both."""
        about: About | None = None
        if change.title is not None:
            about = await conversations.rename(session_id, change.title, owner)
        if change.pinned is not None:
            about = await conversations.pin(session_id, change.pinned, owner)
        return _line(conversations, about or _unknown())

    @router.delete("/sessions/{session_id}", status_code=204, response_class=Response)
    async def delete_session(owner: Owner, session_id: SessionId) -> None:
        """Delete a conversation, and end what goes on in it. It can be restored for an hour."""
        if not await conversations.delete(session_id, owner):
            _unknown()

    @router.post("/sessions/{session_id}/restore")
    async def restore_session(owner: Owner, session_id: SessionId) -> SessionLine:
        """Have a deleted conversation back."""
        return _line(conversations, await conversations.restore(session_id, owner) or _unknown())


def _add_documents(router: APIRouter, documents: Documents) -> None:
    @router.get("/sessions/{session_id}", response_class=Response, responses=JSON_DOCUMENT)
    async def get_session(owner: Owner, session_id: SessionId) -> StreamingResponse:
        """One conversation with all its messages and branches: the document that an export of it is."""
        return _sent(await documents.export(owner, session_id, "json") or _unknown(), saved=False)

    @router.get("/sessions/{session_id}/export", response_class=Response, responses=DOCUMENT)
    async def export_session(owner: Owner, session_id: SessionId, format: Format = "json") -> StreamingResponse:
        """One conversation as a file: whole, as JSON that can be imported again, or readable, as Markdown."""
        return _sent(await documents.export(owner, session_id, format) or _unknown())

    @router.get("/export", response_class=Response, responses=DOCUMENTS)
    async def export_sessions(owner: Owner, format: Format = "json") -> StreamingResponse:
        """All conversations as a file: one JSON document, or a zip with a Markdown file of each."""
        return _sent(await documents.export_all(owner, format))

    @router.post("/import", openapi_extra=IMPORT_BODY, responses={413: Refused})
    async def import_sessions(owner: Owner, request: Request) -> ImportAnswer:
        """Take in conversations. One that is here already is skipped, and so is one that cannot be read."""
        try:
            with documents.turn():
                came = await documents.import_(owner, await request.body())
        except DocumentError as error:
            raise HTTPException(422, str(error).removesuffix(".")) from error
        except ImportBusy as error:
            raise HTTPException(503, str(error).removesuffix("."), {"retry-after": RETRY_AFTER_S}) from error
        return ImportAnswer(
            imported=len(came.sessions), skipped=came.skipped, sessions=came.sessions, problems=came.problems
        )


def _fields(conversations: Conversations, about: About, names: Iterable[str]) -> dict[str, Any]:
    line = conversations.line(about)
    return {name: getattr(line, name) for name in names}


def _line(conversations: Conversations, about: About) -> SessionLine:
    return SessionLine(**_fields(conversations, about, SessionLine.model_fields))


def _found(conversations: Conversations, found: Found) -> FoundLine:
    return FoundLine(
        **_fields(conversations, found.about, SessionLine.model_fields),
        message_id=found.message_id,
        snippet=found.snippet,
        marks=list(found.marks),
    )


def _sent(export: Export, *, saved: bool = True) -> StreamingResponse:
    """The document, for a browser to save."""
    headers = {"content-disposition": content_disposition(export.name)} if saved else {}
    return StreamingResponse(export.content, media_type=export.media_type, headers=headers)


def _unknown() -> NoReturn:
    raise HTTPException(404, "There is no conversation of that id")
