"""The keys from the command line: `python -m server.access.keys add NAME`, `list`, `remove ID`.

A program of its own, which reads the settings for where the keys are. A server that runs notices by itself.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from config import SettingsError, load_settings
from server.access.key_file import Key, KeyFileError, change_keys, read_keys, read_uses
from server.access.tokens import ID, Token
from server.history.records import LOCAL

UNITS = {"h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
DURATION = re.compile(r"(?P<number>[1-9]\d{0,4})(?P<unit>[hdw])")
MAX_NAME_CHARS = 100
NEVER = "never"
HEADINGS = ("ID", "NAME", "CREATED", "LAST USED", "EXPIRES", "CONVERSATIONS", "ADMIN")


class Unusable(Exception):
    """What was asked for cannot be done. `str(error)` is a sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say. The exit status: 0 done, 1 no such key, 2 it cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        path = settings.path(settings.keys_file)
        return {"add": _add, "list": _list, "remove": _remove}[options.command](path, options)
    except (Unusable, KeyFileError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m server.access.keys", description="The keys to this server.")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="make a key, and print it this once")
    add.add_argument("name", help="who or what it is for")
    add.add_argument("--admin", action="store_true", help="it may also have models fetched that are not here yet")
    add.add_argument("--expires", metavar="30d", help="how long it is good: hours (12h), days (30d) or weeks (8w)")
    whose = add.add_mutually_exclusive_group()
    whose.add_argument(
        "--adopt", action="store_true", help="it opens the conversations from before there were keys, and no others"
    )
    whose.add_argument("--owner", metavar="ID", help="it opens the conversations of another key, even a removed one")
    commands.add_parser("list", help="list the keys, without what is secret of them")
    remove = commands.add_parser("remove", help="let a key open nothing any more, at once")
    remove.add_argument("id", help="as it is listed; a whole key is understood, too")
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="print for programs")
    return parser


def _add(path: Path, options: argparse.Namespace) -> int:
    token, now = Token.new(), time.time()
    key = Key(
        id=token.id,
        name=_name(options.name),
        digest=token.digest(),
        owner=_owner(options) or token.id,
        admin=options.admin,
        created_at=now,
        expires_at=_expiry(options.expires, now),
    )
    change_keys(path, lambda keys: [*keys, key])
    if options.json:
        _print_json({**_shown(key, None), "secret": str(token)})
        return 0
    print(f"{token}\n")
    print(f"That is the key for {key.name}. It is shown this once; only a hash of it is kept.")
    print("Programs send it as Authorization: Bearer, people type it into the page.")
    return 0


def _list(path: Path, options: argparse.Namespace) -> int:
    keys, uses = read_keys(path), read_uses(path)
    if options.json:
        _print_json({"keys": [_shown(key, uses.get(key.id)) for key in keys]})
        return 0
    if not keys:
        print("There are no keys yet. Make one: python -m server.access.keys add NAME")
        return 0
    rows = [HEADINGS, *(_row(key, uses.get(key.id)) for key in keys)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _remove(path: Path, options: argparse.Namespace) -> int:
    token = Token.read(options.id)
    identity = token.id if token else options.id
    removed: list[Key] = []

    def without(keys: Sequence[Key]) -> list[Key]:
        removed.extend(key for key in keys if key.id == identity)
        return [key for key in keys if key.id != identity]

    change_keys(path, without)
    if not removed:
        print(f"There is no key with the id {identity}.", file=sys.stderr)
        return 1
    if options.json:
        _print_json({"removed": identity})
    else:
        print(f"The key {identity} ({removed[0].name}) opens nothing any more. Its conversations are kept.")
        whose = "--adopt" if removed[0].owner == LOCAL else f"--owner {removed[0].owner}"
        print(f"Another key to them: python -m server.access.keys add NAME {whose}")
    return 0


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise Unusable(f"A name has 1 to {MAX_NAME_CHARS} printable characters.")
    return name


def _owner(options: argparse.Namespace) -> str | None:
    if options.adopt:
        return LOCAL
    if options.owner is not None and options.owner != LOCAL and not ID.fullmatch(options.owner):
        raise Unusable(f"{options.owner} is no id of a key: those are listed by python -m server.access.keys list.")
    owner: str | None = options.owner
    return owner


def _expiry(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    match = DURATION.fullmatch(text)
    if match is None:
        raise Unusable(f"{text} is no time that a key can last. Say it in hours (12h), days (30d) or weeks (8w).")
    return now + int(match["number"]) * UNITS[match["unit"]]


def _shown(key: Key, used_at: float | None) -> dict[str, object]:
    """All but what is secret. Times are Unix seconds."""
    return {
        "id": key.id,
        "name": key.name,
        "owner": key.owner,
        "admin": key.admin,
        "created_at": key.created_at,
        "used_at": used_at,
        "expires_at": key.expires_at,
    }


def _row(key: Key, used_at: float | None) -> tuple[str, ...]:
    expires = _day(key.expires_at) if key.expires_at else NEVER
    if key.expired(time.time()):
        expires += " (over)"
    owner = "its own" if key.owner == key.id else "from before keys" if key.owner == LOCAL else f"of {key.owner}"
    return key.id, key.name, _day(key.created_at), _day(used_at) if used_at else NEVER, expires, owner, _yes(key.admin)


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
