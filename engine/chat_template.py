"""Turns a conversation into the text that a model expects, by the model's own chat template or by a plain form.

Owns the child process that renders (`template_worker.py`) and its time limit. Knows nothing of tokens.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from engine.errors import TemplateError

RENDER_SECONDS = 2.0
START_SECONDS = 30.0
_WORKER = Path(__file__).with_name("template_worker.py")
_ENVIRONMENT = ("HOME", "PATH", "PYTHONPATH", "PYTHONHOME", "SYSTEMROOT", "TZ")  # no secret goes to the child


class ChatTemplate(Protocol):
    """A way to write a conversation down for a model."""

    stop: tuple[str, ...]  # strings that end an answer, beside the end tokens
    wants_bos: bool  # whether the text lacks the token that begins a sequence, where the model needs one
    source: str

    def render(self, variables: Mapping[str, Any], add_generation_prompt: bool) -> str:
        """The whole text of the conversation `variables["messages"]`. Raises TemplateError.

        With `add_generation_prompt` it ends where the model's answer begins.
        """

    def close(self) -> None:
        """Give back what it holds."""


class PlainTemplate:
    """The form for models without a template: `User:` and `Assistant:` lines after the system prompt."""

    stop: tuple[str, ...] = ("\nUser:", "User:", "\n\n\n")
    wants_bos = True
    source = ""

    def render(self, variables: Mapping[str, Any], add_generation_prompt: bool) -> str:
        messages: Sequence[Mapping[str, str]] = variables["messages"]
        system = "".join(f"{message['content']}\n\n" for message in messages if message["role"] == "system")
        turns = [
            f"{message['role'].capitalize()}: {message['content'].strip()}"
            for message in messages
            if message["role"] != "system"
        ]
        if add_generation_prompt:
            turns.append("Assistant:")
        return system + "\n".join(turns)

    def close(self) -> None:
        """Holds nothing."""


class JinjaTemplate:
    """A model's own template, rendered in a child process that is started at once and killed when it takes too long.

    Safe to share between threads, which then wait for each other.
    """

    stop: tuple[str, ...] = ()
    wants_bos = False

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """`special_tokens` are variables of the template, such as `bos_token`."""
        self.source = source
        self._setup = {"template": source, "variables": {"tools": None, "documents": None, **special_tokens}}
        self._lock = threading.Lock()
        self._worker = _Worker(self._setup)

    def render(self, variables: Mapping[str, Any], add_generation_prompt: bool) -> str:
        request = {**variables, "add_generation_prompt": add_generation_prompt}
        with self._lock:
            if not self._worker.alive:
                self._worker = _Worker(self._setup)
            return self._worker.render(request)

    def close(self) -> None:
        with self._lock:
            self._worker.end()


class _Worker:
    """One child process. It lives until it is ended, takes too much, or this object is forgotten."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        self._process = _start()
        self.end = weakref.finalize(self, _end, self._process)
        self._ready = False
        with suppress(BrokenPipeError):  # a child that died at once is missed when it is asked
            self._send(setup)

    @property
    def alive(self) -> bool:
        return self.end.alive and self._process.poll() is None

    def render(self, request: Mapping[str, Any]) -> str:
        """Raises TemplateError if the template fails; if the process is lost over it, it is not `alive` any more."""
        if not self._ready:
            self._answer(START_SECONDS)
            self._ready = True
        reply = self._answer(RENDER_SECONDS, request)
        if "error" in reply:
            raise TemplateError(f"The model's chat template failed: {reply['error']}.")
        return reply["text"]

    def _answer(self, seconds: float, request: Mapping[str, Any] | None = None) -> dict[str, str]:
        """The next line the child writes, after `request` is sent. The child is killed when that takes too long."""
        assert self._process.stdout is not None
        clock = threading.Timer(seconds, self._process.kill)
        clock.start()
        try:
            if request is not None:
                self._send(request)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        except BaseException:
            self.end()  # or its late answer would meet the next question
            raise
        finally:
            clock.cancel()
        if not line.endswith(b"\n"):
            self.end()
            raise TemplateError("The model's chat template took too much time or memory, and was stopped.")
        reply: dict[str, str] = json.loads(line)
        return reply

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()


def _start() -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            start_new_session=True,  # Ctrl-C is for the server, which then ends this process itself
        )
    except OSError as error:
        raise TemplateError(f"The process that renders chat templates cannot be started: {error.strerror}.") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()
