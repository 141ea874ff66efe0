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
        self._setup = {"template": source, "variables": {"tools": None, "documents": None, **special_tokens}}
        self._lock = threading.Lock()
        self._worker: _Worker | None = _Worker(self._setup)

    def render(self, variables: Mapping[str, Any], add_generation_prompt: bool) -> str:
        request = {**variables, "add_generation_prompt": add_generation_prompt}
        with self._lock:
            if self._worker is None:
                self._worker = _Worker(self._setup)
            try:
                return self._worker.render(request)
            except _WorkerGone as error:
                self._worker = None
                raise TemplateError(str(error)) from error

    def close(self) -> None:
        with self._lock:
            if self._worker is not None:
                self._worker.end()
            self._worker = None


class _WorkerGone(Exception):
    """The child process is dead."""


class _Worker:
    """One child process."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            start_new_session=True,  # Ctrl-C is for the server, which then ends this process itself
        )
        self.end = weakref.finalize(self, _end, self._process)
        self._started = False
        self._send(setup)

    def render(self, request: Mapping[str, Any]) -> str:
        """Raises TemplateError if the template fails, _WorkerGone if the process is lost over it."""
        if not self._started:
            self._answer(START_SECONDS)
            self._started = True
        self._send(request)
        return self._answer(RENDER_SECONDS)["text"]

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._gone() from error

    def _answer(self, seconds: float) -> dict[str, str]:
        assert self._process.stdout is not None
        clock = threading.Timer(seconds, self._process.kill)
        clock.start()
        line = self._process.stdout.readline()
        clock.cancel()
        if not line:
            raise self._gone()
        reply: dict[str, str] = json.loads(line)
        if "error" in reply:
            raise TemplateError(f"The model's chat template failed: {reply['error']}.")
        return reply

    def _gone(self) -> _WorkerGone:
        self.end()
        return _WorkerGone("The model's chat template took too much time or memory, and was stopped.")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()
