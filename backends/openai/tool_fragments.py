"""Tool calls that come in fragments, put together. Does no I/O.

A fragment says by its `index` which call it goes on with. Some servers send whole calls instead, all with one index or
with none: an id that is another than before begins another call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import uuid4

from backends.base import BackendFailed
from backends.fields import JsonObject, object_at, text_at
from backends.ndjson import MAX_LINE
from backends.tool_arguments import read_arguments, unreadable_call


@dataclass(slots=True)
class _Call:
    """One call as far as it has come."""

    identity: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    whole: object = None  # arguments that came as an object


class ToolFragments:
    """Takes fragments, gives whole calls. Holds at most `limit` characters of arguments."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[object, _Call] = {}
        self._room = limit

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, fragment: JsonObject) -> None:
        """Raises BackendFailed for more than can be held."""
        call = self._call_of(fragment)
        function = object_at(fragment, "function")
        call.identity = call.identity or text_at(fragment, "id")
        call.name = call.name or text_at(function, "name")
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            self._room -= len(arguments)
            if self._room < 0:
                raise BackendFailed("The model called a tool with more arguments than can be read.")
            call.arguments.append(arguments)
        elif arguments is not None:
            call.whole = arguments

    def finish(self) -> tuple[dict[str, object], ...]:
        """The calls. Raises BackendFailed when one of them cannot be read."""
        return tuple(_finished(call) for call in self._calls)

    def _call_of(self, fragment: JsonObject) -> _Call:
        index, identity = fragment.get("index"), text_at(fragment, "id")
        index = index if isinstance(index, int) else None
        known = self._by_index.get(index)
        if known is None or (identity and known.identity and identity != known.identity):
            known = _Call()
            self._calls.append(known)
            self._by_index[index] = known
        return known


def _finished(call: _Call) -> dict[str, object]:
    if not call.name:
        raise unreadable_call()
    arguments = call.whole if call.whole is not None else "".join(call.arguments)
    return {
        "id": call.identity or f"call_{uuid4().hex[:16]}",
        "name": call.name,
        "arguments": read_arguments(arguments),
    }
