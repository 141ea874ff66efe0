"""What catches a failure that nobody foresaw, wherever it happens: it is logged, and the process lives on.

`LastResort` stands around all routes, `watch_process` sees to threads and finalizers, `watch_loop` to tasks.
"""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from server.clock import Clock
from server.refusals import apology
from server.sparingly import Sparingly

if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from threading import ExceptHookArgs

SERVER_FAULT = 1011
OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

log = structlog.get_logger()


class LastResort:
    """Answers 500, or closes a WebSocket with 1011, when a route fails. Says no more than the request's id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        begun = ended = False

        async def watched(message: Message) -> None:
            nonlocal begun, ended
            begun = True
            ended = ended or message["type"] == "websocket.close"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except WebSocketDisconnect:
            pass  # the client left, which nobody was waiting to hear
        except Exception:
            log.exception("a request failed", method=scope.get("method"), path=scope["path"])
            if scope["type"] == "websocket" and begun and not ended:
                with suppress(Exception):  # nobody is there any more
                    await send({"type": "websocket.close", "code": SERVER_FAULT, "reason": ""})
            elif not begun:
                await apology(scope["path"], scope.get("state", {}).get("request_id"))(scope, receive, send)
            # uvicorn cuts the connection of an answer that was begun and is not ended


def watch_process() -> None:
    """Log what fails in threads and in finalizers, and show where every thread was if the process itself is killed."""
    faulthandler.enable()
    threading.excepthook = _thread_failed
    sys.unraisablehook = _finalizer_failed


def watch_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Log what fails in callbacks and in tasks that nobody waits for; each kind of it once a second at most."""
    sparingly = Sparingly(Clock())

    def failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        error = context.get("exception")
        scarce = isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES
        more = sparingly.say("scarce" if scarce else f"{context['message']} {type(error)}")
        if more is None:
            return
        if scarce:
            log.warning("The system has nothing left for another connection.", error=str(error), more=more)
        else:
            log.error("a task failed", message=context["message"], more=more, exc_info=error)

    loop.set_exception_handler(failed)


def _thread_failed(args: ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        thread = args.thread.name if args.thread else ""
        log.error("a thread failed", thread=thread, exc_info=_info(args.exc_type, args.exc_value, args.exc_traceback))


def _finalizer_failed(args: UnraisableHookArgs) -> None:
    info = _info(args.exc_type, args.exc_value, args.exc_traceback)
    log.error("a finalizer failed", of=type(args.object).__name__, message=args.err_msg, exc_info=info)


def _info(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    return kind, error or kind(), traceback
