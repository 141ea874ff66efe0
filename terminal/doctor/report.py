"""`doctor`: examines this machine and the server, and tells what was found to people or to programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from terminal.address import DEFAULT_URL, Address
from terminal.characters import escape
from terminal.doctor import connection, installation, surroundings
from terminal.doctor.findings import Finding, State
from terminal.screen import Screen, console_for_people

MARKS: dict[State, tuple[str, str]] = {
    "works": ("✓", "green"),
    "limited": ("!", "yellow"),
    "broken": ("✗", "bold red"),
    "skipped": ("–", "dim"),
}
NAME_WIDTH = 14
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def doctor(server: str | None, key: str, *, as_json: bool) -> int:
    """Examine everything; `server` is where a person says that one is. Gives the exit status."""
    screen = Screen(console_for_people(), plain=True)
    findings = []
    for finding in examine(server, key):
        findings.append(finding)
        if not as_json:
            tell(screen, finding)
    ailing = sum(finding.state == "broken" for finding in findings)
    if as_json:
        whole = {"healthy": not ailing, "findings": [finding.as_json() for finding in findings]}
        sys.stdout.write(json.dumps(whole) + "\n")
    else:
        told = f"{ailing} of {len(findings)} things do not work." if ailing else "All that is needed works."
        screen.print(Text(f"\n{told}", style="bold red" if ailing else "bold green"))
    return 1 if ailing else 0


def examine(server: str | None, key: str) -> Iterator[Finding]:
    """One finding after the other, as they come. Raises Misuse for an address that is none."""
    named = Address.read(server, key) if server else None
    yield installation.python()
    yield installation.packages()
    finding, settings = installation.settings()
    yield finding
    if settings:
        yield installation.model(settings["MODEL_PATH"])
        yield installation.kernels(settings["KERNELS"])
        yield installation.storage(settings["DATABASE_URL"])
    yield installation.room()
    if settings:
        yield surroundings.ollama(settings["OLLAMA_HOST"])
        yield surroundings.authentication(settings)
    there = connection.examine(named or Address.read(_own_url(settings), key), expected=named is not None)
    yield from there
    if settings and there[0].state == "skipped":
        yield surroundings.port(settings["HOST"], settings["PORT"])


def tell(screen: Screen, finding: Finding) -> None:
    """A line of what was found, and one of what to do."""
    mark, style = MARKS[finding.state]
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(width=NAME_WIDTH)
    table.add_column(overflow="fold")
    table.add_row(Text(mark, style=style), finding.name, escape(finding.told))
    if finding.advice:
        table.add_row("", "", Text(f"→ {escape(finding.advice)}", style=style))
    screen.print(table)


def _own_url(settings: Mapping[str, Any]) -> str:
    """Where the server of these settings would be."""
    if not settings:
        return DEFAULT_URL
    host = str(settings["HOST"])
    return f"http://{ANYWHERE.get(host, host)}:{settings['PORT']}"
