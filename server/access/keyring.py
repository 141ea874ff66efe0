"""The keys that open this server now: checks what a caller shows, and notices when the file has changed.

Whether it has is looked at whenever a key is checked, so a new key works at once and a removed one stops at once; and
every second beside that, for those who are inside already. Knows nothing of requests or sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from pathlib import Path

import structlog

from server.access.key_file import Key, KeyFileError, read_keys, read_uses, write_uses
from server.access.tokens import Token
from server.clock import Clock

LOOK_EVERY_S = 1.0
KEEP_USES_EVERY_S = 60.0
NO_DIGEST = "0" * 64  # of a key that does not exist

log = structlog.get_logger()

Stamp = tuple[int, int, int] | None


class Keyring:
    """The keys of one file. `revoked` is called with the ids of keys that stopped being good."""

    def __init__(self, path: Path, clock: Clock | None = None, look_every_s: float = LOOK_EVERY_S) -> None:
        """Raises KeyFileError when the file is there and cannot be read."""
        self.revoked: Callable[[Set[str]], None] = lambda _: None
        self._path = path
        self._clock = clock or Clock()
        self._look_every_s = look_every_s
        self._stamp = _stamp(path)
        self._keys = {key.id: key for key in read_keys(path)}
        self._gone: set[str] = set()  # expired keys that have been told of
        self._uses: dict[str, float] = {}
        self._uses_kept_at = self._clock.now()
        self._watching: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many keys are good."""
        now = self._clock.today()
        return sum(not key.expired(now) for key in self._keys.values())

    def check(self, text: str) -> Key | None:
        """The key that `text` is, if it is a good one. Takes some microseconds."""
        self._look()
        token = Token.read(text)
        if token is None:
            return None
        key = self._keys.get(token.id)
        fits = token.fits(key.digest if key is not None else NO_DIGEST)  # as much work for a key that there never was
        return key if key is not None and fits and not key.expired(self._clock.today()) else None

    def get(self, key_id: str | None) -> Key | None:
        """The good key of that id, for a caller who has shown by other means that it is theirs."""
        self._look()
        key = self._keys.get(key_id or "")
        return key if key is not None and not key.expired(self._clock.today()) else None

    def used(self, key: Key) -> None:
        """A request came in with `key`."""
        self._uses[key.id] = self._clock.today()

    def start(self) -> None:
        """Begin to look at the file by itself. Needs a running loop."""
        self._watching = asyncio.create_task(self._watch(), name="watch the keys")

    async def close(self) -> None:
        """Look no more, and put down when the keys were last used."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        await self._keep_uses()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._look_every_s)
            self._look()
            self._tell_expired()
            if self._clock.now() - self._uses_kept_at >= KEEP_USES_EVERY_S:
                await self._keep_uses()

    def _look(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            keys = {key.id: key for key in read_keys(self._path)}
        except KeyFileError as error:  # to lock everybody out for a slip of an editor would help nobody
            log.error("the keys stay as they were", reason=str(error))
            return
        before, self._keys = self._keys, keys
        log.info("the keys have changed", keys=len(keys))
        if gone := {key_id for key_id, key in before.items() if keys.get(key_id) != key}:
            self.revoked(gone)

    def _tell_expired(self) -> None:
        now = self._clock.today()
        expired = {key.id for key in self._keys.values() if key.expired(now)}
        if new := expired - self._gone:
            self.revoked(new)
        self._gone = expired

    async def _keep_uses(self) -> None:
        self._uses_kept_at = self._clock.now()
        if not self._uses:
            return
        uses, self._uses = self._uses, {}
        try:
            await asyncio.to_thread(_add_uses, self._path, uses, set(self._keys))
        except OSError as error:
            log.warning("when the keys were used is not kept", reason=error.strerror)


def _add_uses(path: Path, uses: dict[str, float], known: set[str]) -> None:
    kept = read_uses(path)
    for key_id, at in uses.items():
        kept[key_id] = max(at, kept.get(key_id, 0.0))
    write_uses(path, {key_id: at for key_id, at in kept.items() if key_id in known})


def _stamp(path: Path) -> Stamp:
    """What is another whenever the file is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
