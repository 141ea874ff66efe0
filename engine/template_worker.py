"""The child process that renders one chat template, so that a hostile template can harm nobody.

`chat_template.py` starts it as a script and speaks to it in lines of JSON: first `{"template", "variables"}`, answered
by `{}` when it is ready; then one object of variables a rendering, answered by `{"text"}` or `{"error"}`.

A template comes out of a model's file, so it is a program by a stranger. Four fences, each enough for most attacks:
Jinja's immutable sandbox; an audit hook that refuses files, processes and sockets from then on; limits on memory and on
the length of the text; and the parent, which kills this process when it takes too long. Imports nothing of ours.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_TEXT = 8 << 20  # characters of one rendering
MAX_MEMORY = 512 << 20  # bytes of address space
MAX_SECONDS = 5.0  # of one rendering; the parent, if it is still there, stops it before
MAX_ERROR = 300  # characters of an error

FORBIDDEN = ("open", "os.", "subprocess.", "socket.", "ctypes.", "fcntl.", "mmap.", "resource.", "signal.")


class GenerationTag(Extension):
    """`{% generation %} ... {% endgeneration %}`, which marks the assistant's words for training: renders its body."""

    tags = {"generation"}  # noqa: RUF012  # Jinja's own interface

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def make_environment() -> ImmutableSandboxedEnvironment:
    """What templates are written for: the environment transformers renders them in."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    return environment


def to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON. Jinja's own filter escapes what is special in HTML, which a prompt is not."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message: object) -> NoReturn:
    """How a template refuses a conversation."""
    raise TemplateError(str(message))


def strftime_now(form: str) -> str:
    """The local date or time, as `form` says."""
    return datetime.now().strftime(form)


def render(template: Template, variables: Mapping[str, Any]) -> str:
    """The text, given up as soon as it is too long."""
    pieces: list[str] = []
    length = 0
    for piece in template.generate(variables):
        pieces.append(piece)
        length += len(piece)
        if length > MAX_TEXT:
            raise TemplateError(f"it makes more than {MAX_TEXT} characters")
    return "".join(pieces)


def limit_memory() -> None:
    """From now on, what needs more memory than `MAX_MEMORY` fails."""
    with suppress(ImportError, ValueError, OSError):  # where the system has no such limit, the parent's clock is one
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))


def refuse_system_calls() -> None:
    """From now on, nothing in this process can open a file or socket or start a process. There is no way back."""
    warm_up()

    def refuse(event: str, _: tuple[object, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise PermissionError("a template may not reach outside itself")

    sys.addaudithook(refuse)


def warm_up() -> None:
    """Make Jinja and Python load what they load late, while they may still open their own files."""
    for source in (
        "{{ ['\\n', strftime_now('%d %B %Y')] | tojson(indent=1) }}",
        "{{ raise_exception('') }}",
        "{% if %}",
    ):
        with suppress(TemplateError):
            make_environment().from_string(source).render()


def end_after(seconds: float) -> None:
    """Let the system end this process in `seconds`; 0: not any more."""
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_REAL, seconds)


class Renderer:
    """The template, compiled once. What went wrong in that is told by every rendering."""

    def __init__(self, source: str, variables: dict[str, Any]) -> None:
        self._template: Template | None = None
        self._problem = ""
        try:
            self._template = make_environment().from_string(source, globals=variables)
        except Exception as error:
            self._problem = explain(error)

    def reply(self, variables: Mapping[str, Any]) -> dict[str, str]:
        if self._template is None:
            return {"error": self._problem}
        try:
            return {"text": render(self._template, variables)}
        except Exception as error:
            return {"error": explain(error)}


def explain(error: Exception) -> str:
    """What went wrong, in not too many words."""
    return (str(error) or type(error).__name__)[:MAX_ERROR]


def send(message: Mapping[str, str]) -> None:
    """Write one line to the parent."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve the parent until it closes its end."""
    limit_memory()
    refuse_system_calls()
    setup = json.loads(sys.stdin.readline())
    send({})
    end_after(MAX_SECONDS)
    renderer = Renderer(setup["template"], setup["variables"])
    end_after(0)
    for line in sys.stdin:
        end_after(MAX_SECONDS)
        send(renderer.reply(json.loads(line)))
        end_after(0)


if __name__ == "__main__":
    main()
