"""Where a person types: several lines, history, completion of commands; or a pipe, where each line is a message.

Enter sends; Alt+Enter, and Shift+Enter where the terminal tells it apart, begin a new line; what is pasted is never
sent by itself. Ctrl-C clears the line, twice on an empty one leaves, as Ctrl-D does. Knows nothing of chats.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.styles import Style

from terminal.characters import one_line
from terminal.transcript import MARK

SHIFT_ENTER = ("\x1b[13;2u", "\x1b[27;2;13~")  # what terminals that tell it apart send
LEAVE_HINT = "Ctrl-C once more, or Ctrl-D, leaves"
STYLE = Style.from_dict({"bottom-toolbar": "noreverse ansibrightblack", "mark": "bold ansicyan"})


class Asks(Protocol):
    """Where messages come from."""

    async def ask(self) -> str | None:
        """The next message; None when there will be no more."""


class Typed:
    """A person at a terminal. `below` is the line under what is typed, `words` completes what begins with a slash."""

    def __init__(self, history: Path | None, below: Callable[[], str], words: Callable[[str], Iterable[str]]) -> None:
        self._below = below
        self._warned = False
        _know_shift_enter()
        self._session: PromptSession[str | None] = PromptSession(
            [("class:mark", MARK)],
            multiline=True,
            prompt_continuation=" " * len(MARK),
            history=_history(history),
            completer=_Words(words),
            complete_while_typing=Condition(self._is_command),
            key_bindings=self._keys(),
            bottom_toolbar=self._toolbar,
            style=STYLE,
            enable_suspend=True,
        )
        self._session.default_buffer.on_text_changed += self._typed

    async def ask(self) -> str | None:
        self._warned = False
        try:
            return await self._session.prompt_async(handle_sigint=False)
        except EOFError:
            return None

    def _is_command(self) -> bool:
        return self._session.default_buffer.text.startswith("/")

    def _typed(self, buffer: Buffer) -> None:
        if buffer.text:
            self._warned = False

    def _toolbar(self) -> StyleAndTextTuples:
        return [("", LEAVE_HINT if self._warned else one_line(self._below()))]

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add(Keys.ControlM)
        def send(event: KeyPressEvent) -> None:
            event.current_buffer.validate_and_handle()

        @keys.add(Keys.Escape, Keys.ControlM)
        @keys.add(Keys.ControlJ)
        def newline(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add(Keys.ControlC)
        def clear_or_leave(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.reset()
            elif self._warned:
                event.app.exit(result=None)
            else:
                self._warned = True

        return keys


class Piped:
    """A program or a file at the other end: each line is a message."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str] = asyncio.Queue(1)
        self._loop = asyncio.get_running_loop()
        # Nothing can interrupt a thread that reads; as a daemon it holds up nobody who leaves.
        threading.Thread(target=self._read, daemon=True).start()

    async def ask(self) -> str | None:
        line = await self._lines.get()
        return line.rstrip("\n") if line else None

    def _read(self) -> None:
        line = "begin"
        with suppress(CancelledError, RuntimeError):  # the chat has ended, and its loop with it
            while line:
                line = sys.stdin.readline()
                asyncio.run_coroutine_threadsafe(self._lines.put(line), self._loop).result()


class _Words(Completer):
    def __init__(self, words: Callable[[str], Iterable[str]]) -> None:
        self._words = words

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        del complete_event
        typed = document.text_before_cursor
        if typed.startswith("/") and "\n" not in typed:
            for word in self._words(typed):
                yield Completion(word, start_position=-len(typed), display=one_line(word))


def _history(path: Path | None) -> History:
    """What was typed before. Only its owner may read it; without a place to keep it, it lasts as long as the chat."""
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def _know_shift_enter() -> None:
    for sequence in SHIFT_ENTER:
        ANSI_SEQUENCES[sequence] = (Keys.Escape, Keys.ControlM)
