"""`models`: lists, fetches, loads and deletes a server's models."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from terminal.address import Address
from terminal.api import Api, spoken
from terminal.characters import one_line
from terminal.screen import Screen, console_for_people
from terminal.tables import models_table
from terminal.trouble import Trouble


async def list_models(address: Address, *, as_json: bool) -> None:
    """Print the models, for people or for programs."""
    async with Api(address) as api:
        listed = await api.get("/api/models")
    if as_json:
        _say(listed)
    elif listed["models"]:
        Screen(console_for_people(), plain=True).print(models_table(listed, listed["current"]))
    else:
        raise Trouble("The server has no models. `switchboard models pull NAME` fetches one, where it can.")


async def load(address: Address, name: str, *, as_json: bool) -> None:
    """Make a model ready, and the one that new conversations use."""
    async with Api(address) as api:
        answer = await api.send("POST", "/api/models/load", {"model": name}, patience_s=None)
    if as_json:
        _say(answer)
    else:
        _tell(f"{answer['model']} is ready, and answers from now on.")


async def remove(address: Address, name: str, *, as_json: bool) -> None:
    """Delete a model where it is kept."""
    async with Api(address) as api:
        await api.send("DELETE", "/api/delete", {"model": name})
    if as_json:
        _say({"success": True, "model": name})
    else:
        _tell(f"{name} is deleted.")


async def pull(address: Address, name: str, *, as_json: bool) -> None:
    """Fetch a model, and tell how far it is: a bar for people, the server's own lines for programs. Raises Trouble."""
    with _bar(visible=not as_json) as bar:
        steps = _Steps(bar)
        async with Api(address) as api, aclosing(api.lines("/api/pull", {"model": name})) as lines:
            async for line in lines:
                step = _read(line)
                if step is None:
                    continue
                if as_json:
                    _say(step)
                else:
                    steps.take(step)
    if not steps.done and not as_json:
        raise Trouble(f"The server ended before {name} was whole. Pull it again: it goes on where it was.")
    if not as_json:
        _tell(f"{name} is there.")


class _Steps:
    """What a pull has told so far: a status, or how much there is of a part."""

    def __init__(self, bar: Progress) -> None:
        self.done = False
        self._bar = bar
        self._tasks: dict[str, Any] = {}

    def take(self, step: Mapping[str, Any]) -> None:
        status = one_line(str(step.get("status", "")))
        self.done = status == "success"
        part = str(step.get("digest") or status)
        if part not in self._tasks:
            self._tasks[part] = self._bar.add_task(status, total=step.get("total") or None)
        self._bar.update(self._tasks[part], completed=step.get("completed") or 0, total=step.get("total") or None)


def _bar(*, visible: bool) -> Progress:
    console = console_for_people(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, disable=not (visible and console.is_terminal))


def _read(line: bytes) -> dict[str, Any] | None:
    if not line.strip():
        return None
    try:
        step = json.loads(line)
    except ValueError as error:
        raise Trouble("What the server says of it is no JSON.") from error
    if failure := spoken(step):
        raise Trouble(failure)
    return step if isinstance(step, dict) else None


def _say(value: object) -> None:
    """One line of JSON, in plain ASCII."""
    sys.stdout.write(json.dumps(value).replace("\x7f", "\\u007f") + "\n")
    sys.stdout.flush()


def _tell(sentence: str) -> None:
    sys.stdout.write(one_line(sentence) + "\n")
