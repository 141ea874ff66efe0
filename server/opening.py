"""The conversation that a request is about, by its id or by a name that its client has chosen."""

from __future__ import annotations

from starlette.exceptions import HTTPException

from server.history.records import HistoryError
from server.hub import Hub
from server.names import NAME
from server.session import Session


async def opened(hub: Hub, session_id: str, owner: str) -> Session:
    """The owner's session of that id, or the one that goes by that name. Raises HTTPException."""
    if not NAME.fullmatch(session_id):
        raise HTTPException(404, "A conversation's name is 1 to 64 letters, digits, - and _")
    try:
        return await hub.get(session_id, owner) or await hub.open_named(session_id, owner)
    except HistoryError as error:
        raise HTTPException(503, str(error).rstrip(".")) from error
