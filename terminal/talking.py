"""`chat`: from the command line to a person who talks, and back with an exit status."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from terminal.address import Address
from terminal.asking import Asking
from terminal.chat import Chat
from terminal.keyboard import silent
from terminal.prompt import Asks, Piped, Typed
from terminal.screen import Screen, console_for_people
from terminal.slash import Commands, Leave
from terminal.trouble import STOPPED, Trouble


async def talk(address: Address, session: str | None, asking: Asking, *, plain: bool) -> int:
    """Talk until the person leaves. Gives the exit status. Raises Trouble when the server cannot be talked to."""
    typed = sys.stdin.isatty() and sys.stdout.isatty()
    console = console_for_people()
    chat = Chat(address, session, asking, Screen(console, plain=plain or not console.is_terminal))
    commands = Commands(chat)
    prompt: Asks = Typed(history_file(), chat.below, commands.words) if typed else Piped()
    line = asyncio.create_task(chat.link.run())
    talking = asyncio.create_task(_converse(chat, commands, prompt, greets=typed))

    def interrupted() -> None:
        if chat.busy:
            chat.interrupt()
        elif not (typed and chat.arrived):  # a person who comes too late with it means the answer, not the chat
            talking.cancel()

    with silent(), _signals(interrupted, talking.cancel):
        try:
            await asyncio.wait((line, talking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (talking, line):
                task.cancel()
            await asyncio.wait((line, talking))
            await chat.close()
    for task in (line, talking):
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
    return STOPPED if talking.cancelled() else 0


async def _converse(chat: Chat, commands: Commands, prompt: Asks, *, greets: bool) -> None:
    await chat.arrive()
    if greets:
        chat.screen.note(f"Switchboard · {chat.asking.model or chat.model} · /help tells what you can do")
    while (text := await _next(chat, prompt)) is not None:
        if not text.strip():
            continue
        try:
            await commands.do(text)
        except Trouble as trouble:
            chat.screen.note(str(trouble), "red")
        except Leave:
            break
    if greets and chat.conversation.messages:
        chat.screen.note(f"To come back: python cli.py chat --session {chat.conversation.session}")


async def _next(chat: Chat, prompt: Asks) -> str | None:
    if not chat.screen.plain:
        chat.screen.print("")
    return await prompt.ask()


@contextmanager
def _signals(interrupted: Callable[[], object], ended: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C is one matter, being told to end is another; neither may leave the keyboard silent."""
    loop = asyncio.get_running_loop()
    chosen = {signal.SIGINT: interrupted, signal.SIGTERM: ended, signal.SIGHUP: ended}
    for number, do in chosen.items():
        loop.add_signal_handler(number, do)
    try:
        yield
    finally:
        for number in chosen:
            loop.remove_signal_handler(number)


def history_file() -> Path:
    """Where what was typed is kept."""
    states = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(states) / "switchboard" / "history"
