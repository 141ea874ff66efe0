"""Lists for people: the models and the conversations of a server."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from terminal.characters import one_line

STATES = {"ready": "green", "loading": "yellow", "draining": "yellow", "unreachable": "red", "failed": "red"}
DAY_S = 86_400


def models_table(listed: Mapping[str, Any], current: str) -> Table:
    """What `GET /api/models` gives, the current one marked."""
    table = _table("", "model", "state", "size", "context", "")
    for model in listed["models"]:
        progress = f" {model['progress']:.0%}" if model.get("progress") is not None else ""
        state = Text(one_line(model["state"]) + progress, style=STATES.get(model["state"], ""))
        context = f"{model['context_length']:,}" if model.get("context_length") else ""
        quantization = one_line(model.get("quantization") or "")
        size = " ".join(part for part in (bytes_(model.get("size") or 0), quantization) if part)
        mark = "●" if model["name"] == current else ""
        table.add_row(mark, one_line(model["name"]), state, size, context, one_line(model.get("reason") or ""))
    return table


def sessions_table(sessions: Iterable[Mapping[str, Any]], current: str | None) -> Table:
    """The conversations, numbered from 1; the newest first, as the server has them."""
    table = _table("", "", "conversation", "changed", "id")
    for number, session in enumerate(sessions, 1):
        mark = "●" if session["id"] == current else ""
        title = one_line(session.get("title") or "") or "(no title yet)"
        running = Text("is being answered", style="yellow") if session.get("running") else _ago(session["updated"])
        table.add_row(str(number), mark, title, running, one_line(session["id"]))
    return table


def bytes_(count: float) -> str:
    """A size for people; nothing for none."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if count else ""
        count /= 1000
    return f"{count:,.1f} TB"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _ago(then: float) -> str:
    passed = max(0.0, time.time() - then)
    if passed < 60:
        return "just now"
    if passed < 3600:
        return f"{passed // 60:.0f} min ago"
    if passed < DAY_S:
        return f"{passed // 3600:.0f} h ago"
    return time.strftime("%Y-%m-%d", time.localtime(then))
