"""What a caller of the HTTP routes is told when something is wrong: always JSON with an `error` sentence."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from server.security import SECURITY_HEADERS

log = structlog.get_logger()


def add_error_handlers(app: FastAPI) -> None:
    """Answer bad bodies, unknown paths and our own failures in one shape, without paths or tracebacks."""
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _internal_error)


def _answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"success": False, "error": message}, status, headers)


async def _bad_request(request: Request, error: Exception) -> JSONResponse:
    del request
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part != "body")
    return _answer(422, f"{field or 'body'}: {first['msg']}.")


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    del request
    assert isinstance(error, HTTPException)
    return _answer(error.status_code, f"{error.detail}.", dict(error.headers or {}))


async def _internal_error(request: Request, error: Exception) -> JSONResponse:
    log.error("a request failed", method=request.method, path=request.scope["path"], exc_info=error)
    # this answer passes no middleware
    return _answer(500, "Something went wrong in the server. Its log says what.", SECURITY_HEADERS)
