"""Where requests are counted: in this process, or in Redis, which several servers share.

Whatever becomes of Redis, requests are answered: while it is gone this process counts alone, and says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import structlog
from limits.errors import StorageError

from server.clock import Clock
from server.limiting.windows import Windows

RETRY_S = 5.0
MAX_CONNECTIONS = 32

T = TypeVar("T")

log = structlog.get_logger()


class Store(Protocol):
    """Counts in sliding windows. These two methods are the library's."""

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool: ...

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]: ...


async def nothing_to_close() -> None:
    """What closing a store in memory takes."""


class Sturdy:
    """The counts of `store`; for as long as that is gone, counts of its own."""

    def __init__(self, store: Store, clock: Clock, close: Callable[[], Awaitable[None]]) -> None:
        self.close = close
        self._store = store
        self._clock = clock
        self._alone = Windows(clock)
        self._again_at: float | None = None  # None: the store is there

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        return await self._ask(lambda store: store.acquire_sliding_window_entry(key, limit, expiry, amount))

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        return await self._ask(lambda store: store.get_sliding_window(key, expiry))

    async def _ask(self, ask: Callable[[Store], Awaitable[T]]) -> T:
        if self._again_at is not None and self._clock.now() < self._again_at:
            return await ask(self._alone)
        if self._again_at is not None:
            self._again_at = self._clock.now() + RETRY_S  # one request finds out, the others need not wait for it
        try:
            answer = await ask(self._store)
        except StorageError as error:
            self._lost(error)
            return await ask(self._alone)
        if self._again_at is not None:
            self._again_at = None
            log.info("requests are counted in RATE_LIMIT_STORE again")
        return answer

    def _lost(self, error: StorageError) -> None:
        if self._again_at is None:
            reason = type(error.storage_error).__name__
            log.warning("RATE_LIMIT_STORE is gone: this process counts requests alone until it is back", reason=reason)
        self._again_at = self._clock.now() + RETRY_S


def open_store(address: str, clock: Clock, patience_s: float) -> tuple[Store, Callable[[], Awaitable[None]]]:
    """The store of that address, and what closes it. Raises ValueError for an address that is none.

    `patience_s`: how long Redis may take to answer, and with that, every request.
    """
    if address == "memory://":
        return Windows(clock), nothing_to_close
    if not address.startswith(("redis://", "rediss://")):
        raise ValueError("it is memory://, redis://host:port/number, or the same with rediss://")
    sturdy = redis_store(address, clock, patience_s)
    return sturdy, sturdy.close


def redis_store(address: str, clock: Clock, patience_s: float) -> Sturdy:
    """Counts in the Redis of that address. Nothing is connected before the first request. Raises ValueError."""
    try:
        from redis.asyncio import BlockingConnectionPool
    except ImportError:
        raise ValueError("it needs the package redis: pip install redis") from None
    from limits.aio.storage import RedisStorage

    pool = BlockingConnectionPool.from_url(
        address,
        max_connections=MAX_CONNECTIONS,
        timeout=patience_s,
        socket_timeout=patience_s,
        socket_connect_timeout=patience_s,
    )
    options: dict[str, Any] = {"implementation": "redispy", "key_prefix": "switchboard", "connection_pool": pool}
    store = RedisStorage(f"async+{address}", wrap_exceptions=True, **options)
    return Sturdy(store, clock, pool.aclose)
