from __future__ import annotations

import asyncio

import pytest

from server.protocol import Ack, CanvasMessage, NoticeEvent, ProgressMessage, encode
from server.session import BadResume, Limits, Session
from server.subscriber import MAX_REPLIES, MAX_TRANSIENTS, TooSlow
from tests.server.doubles import ManualClock, Reader, about, turn_over


def make(limits: Limits | None = None) -> Session:
    return Session(about(), limits or Limits(), ManualClock())


def publish(session: Session, number: int, text: str = "x") -> None:
    for _ in range(number):
        session.publish(NoticeEvent(message=text))


def progress(done: int) -> ProgressMessage:
    return ProgressMessage(id="run", phase="prefill", done=done, total=9)


def test_events_are_numbered_from_one_and_read_in_order_by_every_subscriber():
    async def scenario() -> None:
        session = make()
        readers = [Reader(session.subscribe()) for _ in range(3)]
        assert [session.publish(NoticeEvent(message=text)) for text in "abc"] == [1, 2, 3]
        for reader in readers:
            await reader.drain()
            assert reader.seqs() == [1, 2, 3]

    asyncio.run(scenario())


def test_a_frame_is_encoded_once_however_many_read_it():
    async def scenario() -> None:
        session = make()
        first, second = session.subscribe(), session.subscribe()
        publish(session, 1)
        assert await first.frame() is await second.frame()

    asyncio.run(scenario())


@pytest.mark.parametrize("after", range(11))
def test_whoever_comes_back_gets_exactly_what_followed(after: int):
    async def scenario() -> None:
        session = make()
        publish(session, 10)
        reader = Reader(session.subscribe(after, session.epoch))
        reader.state.seq = after
        publish(session, 2)
        await reader.drain()
        assert reader.subscriber.recovered
        assert reader.seqs() == list(range(after + 1, 13))
        assert "snapshot" not in reader.types()

    asyncio.run(scenario())


@pytest.mark.parametrize(("after", "epoch"), [(None, None), (None, "same"), (3, "other"), (0, "same"), (99, "other")])
def test_whoever_cannot_go_on_gets_one_snapshot_and_then_what_is_new(after: int | None, epoch: str | None):
    async def scenario() -> None:
        session = make(Limits(window_events=4))
        publish(session, 10)
        reader = Reader(session.subscribe(after, session.epoch if epoch == "same" else epoch))
        await reader.drain()
        publish(session, 2)
        await reader.drain()
        assert not reader.subscriber.recovered
        assert reader.types() == ["snapshot", "notice", "notice"]
        assert reader.state.snapshot("s", "e") == session.state.snapshot("s", "e")

    asyncio.run(scenario())


def test_a_new_session_begins_without_a_snapshot():
    async def scenario() -> None:
        session = make()
        reader = Reader(session.subscribe())
        publish(session, 1)
        await reader.drain()
        assert reader.types() == ["notice"]

    asyncio.run(scenario())


def test_a_place_beyond_the_head_is_refused():
    session = make()
    publish(session, 3)
    with pytest.raises(BadResume):
        session.subscribe(4, session.epoch)
    assert session.subscribers == 0, "a refused reader must not stay subscribed"


@pytest.mark.parametrize(
    "limits", [Limits(window_events=5), Limits(window_bytes=5 * len(encode(NoticeEvent(message=""))))]
)
def test_the_window_is_bounded_in_events_and_in_bytes(limits: Limits):
    session = make(limits)
    publish(session, 1_000)
    assert session.reaches(session.head - 3)
    assert not session.reaches(session.head - 6)


def test_a_reader_that_the_window_leaves_behind_goes_on_from_a_snapshot():
    async def scenario() -> None:
        session = make(Limits(window_events=3))
        reader = Reader(session.subscribe())
        publish(session, 2)
        await reader.drain()
        publish(session, 9)
        await reader.drain()
        assert reader.types() == ["notice", "notice", "snapshot"]
        assert reader.state.seq == session.head

    asyncio.run(scenario())


def test_a_reader_too_far_behind_is_sent_away_and_can_come_back_where_it_was():
    async def scenario() -> None:
        session = make(Limits(subscriber_bytes=1_000))
        slow, fast = Reader(session.subscribe()), Reader(session.subscribe())
        told = []
        slow.subscriber.on_too_slow = lambda: told.append(True)
        for _ in range(50):
            publish(session, 1)
            await fast.drain()
        assert fast.seqs() == list(range(1, 51)), "a fast reader must not suffer from a slow one"
        assert told == [True]
        with pytest.raises(TooSlow):
            await slow.subscriber.frame()
        assert session.subscribers == 1
        back = Reader(session.subscribe(slow.state.seq, session.epoch))
        await back.drain()
        assert back.seqs() == list(range(1, 51))

    asyncio.run(scenario())


def test_one_long_event_makes_nobody_slow_who_was_up_to_date():
    async def scenario() -> None:
        session = make(Limits(subscriber_bytes=1_000))
        reader = Reader(session.subscribe())
        publish(session, 1, "x" * 5_000)
        await reader.drain()
        assert reader.seqs() == [1]

    asyncio.run(scenario())


def test_what_was_missed_before_coming_back_is_no_debt():
    async def scenario() -> None:
        session = make(Limits(subscriber_bytes=1_000))
        publish(session, 100)
        reader = Reader(session.subscribe(0, session.epoch))
        publish(session, 1)
        await reader.drain()
        assert reader.seqs() == list(range(1, 102))

    asyncio.run(scenario())


def test_bytes_count_as_unsent_until_the_next_frame_is_asked_for():
    async def scenario() -> None:
        session = make()
        subscriber = session.subscribe()
        publish(session, 1, "é")
        frame = await subscriber.frame()
        assert subscriber.unsent == len(frame.encode()) == len(frame) + 1
        await asyncio.wait([asyncio.ensure_future(subscriber.frame())], timeout=0)
        await turn_over()
        assert subscriber.unsent == 0

    asyncio.run(scenario())


def test_of_each_kind_of_transient_only_the_latest_waits():
    async def scenario() -> None:
        session = make()
        reader = Reader(session.subscribe())
        for done in range(100):
            session.transient(progress(done))
        session.transient(CanvasMessage(id="run", rev=1, length=2, full=True, step=0, ops=[]))
        await reader.drain()
        assert [(frame["type"], frame.get("done")) for frame in reader.frames] == [("progress", 99), ("canvas", None)]

    asyncio.run(scenario())


def test_transients_are_bounded_whatever_they_are_about():
    async def scenario() -> None:
        session = make()
        reader = Reader(session.subscribe())
        for number in range(1_000):
            session.transient(ProgressMessage(id=f"run {number}", phase="queued"))
        await reader.drain()
        assert len(reader.frames) == MAX_TRANSIENTS

    asyncio.run(scenario())


def test_a_transient_comes_after_the_events_before_it_and_before_those_after_it():
    async def scenario() -> None:
        session = make()
        reader = Reader(session.subscribe())
        publish(session, 2)
        session.transient(progress(1))
        publish(session, 1)
        await reader.drain()
        assert reader.types() == ["notice", "notice", "progress", "notice"]

    asyncio.run(scenario())


def test_whoever_joins_late_is_shown_the_progress_of_now_until_it_is_settled():
    async def scenario() -> None:
        session = make()
        session.transient(progress(1))
        session.transient(progress(2))
        late = Reader(session.subscribe())
        await late.drain()
        assert [frame["done"] for frame in late.frames] == [2]
        session.settle("run")
        later = Reader(session.subscribe())
        await later.drain()
        assert later.frames == []

    asyncio.run(scenario())


def test_replies_go_to_one_reader_in_order_and_hold_up_whoever_gives_too_many():
    async def scenario() -> None:
        session = make()
        one, other = Reader(session.subscribe()), Reader(session.subscribe())

        async def give() -> None:
            for number in range(MAX_REPLIES + 5):
                await one.subscriber.reply(encode(Ack(cmd_id=str(number))))

        giving = asyncio.create_task(give())
        await turn_over(200)
        assert not giving.done(), "whoever replies must wait while the reader does not read"
        while not giving.done():
            await one.drain()
            await turn_over()
        await one.drain()
        await other.drain()
        assert [frame["cmd_id"] for frame in one.frames] == [str(number) for number in range(MAX_REPLIES + 5)]
        assert other.frames == []

    asyncio.run(scenario())


def test_a_session_tells_when_the_first_reader_comes_and_when_the_last_one_goes():
    session = make()
    counts = []
    session.watched = lambda _: counts.append(session.subscribers)
    first, second = session.subscribe(), session.subscribe()
    first.close()
    first.close()
    second.close()
    assert counts == [1, 0]


def test_a_snapshot_is_made_once_for_all_who_ask_at_the_same_place():
    session = make()
    publish(session, 3)
    assert session.snapshot_frame() is session.snapshot_frame()
    before = session.snapshot_frame()
    publish(session, 1)
    assert session.snapshot_frame() != before
