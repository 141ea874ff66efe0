import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from backends.patience import Patience, Silence, watch

SOON = Patience(first=0.2, between=0.05, tick=0.01)
LONG = Patience(first=5, between=5, tick=0.01)


async def numbers(count: int) -> AsyncGenerator[int, None]:
    for number in range(count):
        yield number


def test_items_are_handed_on_in_order() -> None:
    async def read() -> list[int | None]:
        return [item async for item in watch(numbers(100), LONG)]

    assert asyncio.run(read()) == list(range(100))


def test_silence_is_told_while_it_lasts_and_ends_with_the_next_item() -> None:
    async def read() -> list[int | None]:
        heard = asyncio.Event()

        async def late() -> AsyncGenerator[int, None]:
            await heard.wait()
            yield 1

        found: list[int | None] = []
        async for item in watch(late(), LONG):
            found.append(item)
            if len(found) == 3:
                heard.set()
        return found

    assert asyncio.run(read()) == [None, None, None, 1]


def test_patience_for_the_first_item_and_between_items_ends_differently() -> None:
    async def stuck(count: int) -> AsyncGenerator[int, None]:
        for number in range(count):
            yield number
        await asyncio.Event().wait()

    async def wait(count: int) -> Silence:
        with pytest.raises(Silence) as caught:
            [item async for item in watch(stuck(count), SOON)]
        return caught.value

    never, fell = asyncio.run(wait(0)), asyncio.run(wait(3))
    assert (never.begun, never.seconds) == (False, SOON.first)
    assert (fell.begun, fell.seconds) == (True, SOON.between)


def test_patience_begins_anew_with_every_item() -> None:
    async def steady() -> AsyncGenerator[int, None]:
        for number in range(12):
            await asyncio.sleep(0.05)
            yield number

    async def read() -> list[int | None]:
        return [item async for item in watch(steady(), Patience(first=0.4, between=0.4)) if item is not None]

    assert asyncio.run(read()) == list(range(12))


def test_an_error_of_the_source_comes_after_its_items() -> None:
    async def breaking() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("broke")

    async def read() -> list[int | None]:
        found: list[int | None] = []
        try:
            async for item in watch(breaking(), LONG):
                found.append(item)
        except ValueError:
            return found
        raise AssertionError("The error was lost.")

    assert asyncio.run(read()) == [1]


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_closing_closes_the_source_in_its_own_task_before_it_returns(taken: int) -> None:
    async def close() -> None:
        tasks: list[asyncio.Task[object] | None] = []

        async def endless() -> AsyncGenerator[int, None]:
            tasks.append(asyncio.current_task())
            try:
                while True:
                    yield 1
                    await asyncio.sleep(0)
            finally:
                tasks.append(asyncio.current_task())

        async with aclosing(watch(endless(), LONG)) as items:
            for _ in range(taken):
                await anext(items)
        assert len(tasks) == (2 if taken else 0)
        assert len(set(tasks)) <= 1

    asyncio.run(close())


def test_cancelling_the_reader_closes_the_source() -> None:
    async def cancel() -> None:
        begun, closed = asyncio.Event(), asyncio.Event()

        async def endless() -> AsyncGenerator[int, None]:
            try:
                begun.set()
                await asyncio.Event().wait()
                yield 1
            finally:
                closed.set()

        async def read() -> None:
            async for _ in watch(endless(), LONG):
                pass

        reader = asyncio.create_task(read())
        await begun.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert closed.is_set()

    asyncio.run(cancel())


def test_a_slow_reader_holds_the_source_back() -> None:
    async def read() -> int:
        made = 0

        async def eager() -> AsyncGenerator[int, None]:
            nonlocal made
            while True:
                made += 1
                yield made

        async with aclosing(watch(eager(), LONG)) as items:
            await anext(items)
            for _ in range(1000):
                await asyncio.sleep(0)
            return made

    assert asyncio.run(read()) < 20
