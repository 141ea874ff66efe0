"""Log lines: coloured on a terminal, JSON elsewhere; one event, one line.

Our own modules log through structlog, libraries and the engine through the standard library; both end here.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogForm = Literal["auto", "console", "json"]

_JSON = structlog.processors.JSONRenderer(ensure_ascii=False)
QUIET = ("httpx", "httpcore", "uvicorn.access", "uvicorn.error", "asyncio")


def configure_logs(level: str, stream: TextIO = sys.stderr, form: LogForm = "auto") -> None:
    """Send what every logger of the process has to say from `level` on to `stream`.

    `form`: for people, `console`, or for machines, `json`; `auto` takes a terminal for people.
    """
    for_people = form == "console" or (form == "auto" and stream.isatty())
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if for_people else "iso"),
        structlog.processors.StackInfoRenderer(),
    ]
    after: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,  # here, or the console's own would show what people said: local variables
    ]
    if for_people:
        plain = structlog.dev.plain_traceback
        console = structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)
        after += [_escape_controls, console]
    else:
        after += [_render_json]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=after))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _escape_controls(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """What came from outside may hold line ends and terminal sequences: show them instead of obeying them."""
    del logger, method
    return {
        key: _printable(value, also="\n" if key == "exception" else "") if isinstance(value, str) else value
        for key, value in event.items()
    }


def _render_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """JSON leaves as they are the second kind of control characters, and those that turn the direction of text."""
    line = str(_JSON(logger, method, event))
    return line if line.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


def _printable(text: str, also: str) -> str:
    return "".join(c if c.isprintable() or c in also else c.encode("unicode_escape").decode() for c in text)
