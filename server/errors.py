"""What a caller of the HTTP routes is told when something is wrong: always JSON, as the API in question words it."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from backends.base import BackendError
from server.history.records import HistoryError
from server.openai.errors import BadRequest, error_body, failure_body
from server.refusals import OPENAI, apology, refusal
from server.security import SECURITY_HEADERS
from server.statuses import retry_headers, status_of

HISTORY_RETRY_S = "5"
SHOWN = 80  # characters of a name that somebody else chose

log = structlog.get_logger()


def add_error_handlers(app: FastAPI) -> None:
    """Answer bad bodies, unknown paths and failures, ours and the backends', without paths or tracebacks."""
    app.add_exception_handler(RequestValidationError, _bad_body)
    app.add_exception_handler(BadRequest, _bad_request)
    app.add_exception_handler(BackendError, _failure)
    app.add_exception_handler(HistoryError, _history_off)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _nobody_there)
    app.add_exception_handler(Exception, _internal_error)


async def _bad_body(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part != "body")[:SHOWN]
    return refusal(request.scope["path"], 422, f"{field or 'body'}: {first['msg']}.")


async def _bad_request(request: Request, error: Exception) -> JSONResponse:
    """What only the routes of OpenAI's API raise."""
    del request
    assert isinstance(error, BadRequest)
    return JSONResponse(error_body(400, error.message, param=error.param, code=error.code), 400)


async def _failure(request: Request, error: Exception) -> JSONResponse:
    """What a backend could not do, told in the words of the API that was asked."""
    assert isinstance(error, BackendError)
    path, status, headers = request.scope["path"], status_of(error), retry_headers(error)
    if path.startswith(OPENAI):
        return JSONResponse(failure_body(error), status, headers)
    return refusal(path, status, error.message, headers)


async def _history_off(request: Request, error: Exception) -> JSONResponse:
    """Conversations cannot be read or stored at the moment."""
    return refusal(request.scope["path"], 503, str(error), {"retry-after": HISTORY_RETRY_S})


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return refusal(request.scope["path"], error.status_code, f"{error.detail}.", error.headers)


async def _nobody_there(request: Request, error: Exception) -> Response:
    """The client left while it sent its request: nobody reads this."""
    del request, error
    return Response(status_code=400)


async def _internal_error(request: Request, error: Exception) -> JSONResponse:
    """Only of an application without `LastResort`, or of what stands before it."""
    log.error("a request failed", method=request.method, path=request.scope["path"], exc_info=error)
    # this answer passes no middleware
    return apology(request.scope["path"], None, SECURITY_HEADERS)
