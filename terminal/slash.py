"""The commands that begin with a slash, each with what `/help` tells of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from rich.table import Table

from terminal.characters import one_line
from terminal.chat import Chat
from terminal.tables import models_table, sessions_table
from terminal.trouble import Misuse, Trouble

Do = Callable[["Commands", str], Awaitable[None]]
TO_THE_SERVER = ("/quote",)  # which are messages that the server knows what to do with
MOST_SESSIONS = 20
THINKING = {
    True: "The model is asked to reason first.",
    False: "The model is asked not to reason first.",
    None: "Whether to reason first is left to the model.",
}


class Leave(Exception):
    """The person has had enough."""


@dataclass(slots=True, frozen=True)
class Command:
    """What `/help` tells of it, and what it does."""

    argument: str
    told: str
    do: Do


class Commands:
    """What was typed, done on a `chat`. Remembers which models and conversations were listed last."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._models: list[str] = []
        self._sessions: list[str] = []

    async def do(self, text: str) -> None:
        """Do what `text` asks for, or say it to the model. Raises Trouble, Leave."""
        name, _, argument = text.strip().partition(" ")
        if not text.startswith("/") or name in TO_THE_SERVER or "/" in name[1:]:
            await self._chat.say(text)
        elif name not in COMMANDS:
            raise Misuse(f"There is no {one_line(name)}; /help lists what there is.")
        else:
            await COMMANDS[name].do(self, argument.strip())

    def words(self, typed: str) -> Iterable[str]:
        """What a command that is being typed may become."""
        known = [*COMMANDS, *TO_THE_SERVER, *(f"/model {name}" for name in self._models)]
        return [word for word in known if word.startswith(typed) and word != typed]

    async def help(self, argument: str) -> None:
        del argument
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, command in COMMANDS.items():
            table.add_row(f"{name} {command.argument}".strip(), command.told)
        table.add_row("/quote", "a quotation, from the server itself")
        table.add_row("Enter", "sends; Alt+Enter begins a new line")
        table.add_row("Ctrl-C", "stops an answer and keeps it; at the prompt, twice leaves, as Ctrl-D does")
        self._chat.screen.print(table)

    async def model(self, argument: str) -> None:
        if argument:
            await self._chat.work(self._load(argument))
            return
        listed = await self._chat.api.get("/api/models")
        self._models = [model["name"] for model in listed["models"]]
        self._chat.screen.print(models_table(listed, self._chat.asking.model or listed["current"]))

    async def _load(self, name: str) -> None:
        answer = await self._chat.api.send("POST", "/api/models/load", {"model": name}, patience_s=None)
        self._chat.asking.model = answer["model"]
        self._chat.screen.note(f"{answer['model']} answers from now on.")

    async def stop(self, argument: str) -> None:
        del argument
        self._chat.stop()

    async def system(self, argument: str) -> None:
        if argument:
            self._chat.asking.system = None if argument == "off" else argument
        system = self._chat.asking.system
        self._chat.screen.note(f"System prompt: {system}" if system else "The server's own system prompt is used.")

    async def think(self, argument: str) -> None:
        wanted = {"": not self._chat.asking.think, "on": True, "off": False, "auto": None}
        if argument not in wanted:
            raise Misuse("/think is followed by on, off or auto, or by nothing.")
        self._chat.asking.think = wanted[argument]
        self._chat.screen.note(THINKING[self._chat.asking.think])

    async def new(self, argument: str) -> None:
        del argument
        await self._chat.enter(None)
        self._chat.screen.note("A new conversation.")

    async def sessions(self, argument: str) -> None:
        listed = await self._chat.api.get("/api/sessions", limit=MOST_SESSIONS, q=argument)
        self._sessions = [session["id"] for session in listed["sessions"]]
        self._chat.screen.print(sessions_table(listed["sessions"], self._chat.conversation.session))

    async def open(self, argument: str) -> None:
        if not argument:
            raise Misuse("/open is followed by a number of /sessions, or by a conversation's id.")
        place = int(argument) - 1 if argument.isdecimal() and len(argument) < 4 else -1
        await self._chat.enter(self._sessions[place] if 0 <= place < len(self._sessions) else argument)

    async def retry(self, argument: str) -> None:
        del argument
        await self._of_last_answer("regenerate")

    async def go_on(self, argument: str) -> None:
        del argument
        await self._of_last_answer("continue")

    async def _of_last_answer(self, command: str) -> None:
        answer = self._chat.conversation.last_answer()
        if answer is None:
            raise Trouble("There is no answer yet.")
        await self._chat.ask_for({"type": command, "id": answer.id})

    async def leave(self, argument: str) -> None:
        del argument
        raise Leave


COMMANDS = {
    "/model": Command("[name]", "lists the models, or takes another one", Commands.model),
    "/system": Command("[text|off]", "sets the system prompt from now on; off: the server's own", Commands.system),
    "/think": Command("[on|off|auto]", "whether the model should reason first", Commands.think),
    "/retry": Command("", "another answer beside the last one", Commands.retry),
    "/continue": Command("", "goes on with the last answer where it ended", Commands.go_on),
    "/stop": Command("", "stops an answer that is still being written", Commands.stop),
    "/new": Command("", "begins a new conversation", Commands.new),
    "/sessions": Command("[words]", "lists your conversations, or those that hold the words", Commands.sessions),
    "/open": Command("number|id", "opens one of them", Commands.open),
    "/help": Command("", "shows this", Commands.help),
    "/quit": Command("", "leaves; answers go on, and the conversation stays", Commands.leave),
}
