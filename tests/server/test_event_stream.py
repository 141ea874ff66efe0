"""The log as server-sent events: every character once, whatever is cut where, and nothing that a text can forge."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.clock import Clock
from server.event_stream import FIRST_WORD_S, BadPlace, MessageEvents, Place, TextEvents
from server.fold import Conversation
from server.protocol import (
    AiEvent,
    DeltaEvent,
    ErrorEvent,
    NoticeEvent,
    TimingInfo,
    TypingEvent,
    UsageInfo,
    UserEvent,
)
from server.session import Limits, Session
from tests.server.doubles import about
from tests.server.event_source import EventSource, TextPage

NASTY = [
    "\n",
    "\n\n",
    "\r",
    "\r\n",
    "data: ",
    "event: complete\n\n",
    "id: 1:1\n",
    "|",
    ":",
    " ",
    "\0",
    "\ufeff",
    "é",
    "😀",
    "a",
]
PIECES = st.lists(st.lists(st.sampled_from(NASTY), min_size=1, max_size=4).map("".join), max_size=12)


def plain(text: str) -> str:
    """What a client of texts has of it: the line ends that server-sent events know."""
    return re.sub("\r\n?", "\n", text)


class Log:
    """A session in which answers are written by hand, and clients that come back to it."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.session = Session(about(), limits or Limits(), Clock())

    def begin(self, answer: str) -> None:
        self.session.publish(UserEvent(id=f"{answer}?", message="Go on.", run=answer, at=1.0))
        self.session.publish(TypingEvent(id=answer, model="echo/echo", at=1.0, parent_id=f"{answer}?"))

    def write(self, answer: str, *pieces: str, channel: str = "content") -> None:
        for piece in pieces:
            offset = self.session.state.nodes[answer].content.length
            event = {"id": answer, "channel": channel, "offset": offset, "message": piece}
            self.session.publish(DeltaEvent.model_validate(event))

    def end(self, answer: str, failed: bool = False) -> None:
        if failed:
            self.session.publish(ErrorEvent(id=answer, code="backend_error", message="It broke."))
            return
        self.session.publish(
            AiEvent(
                id=answer,
                parent_id=f"{answer}?",
                message=str(self.session.state.nodes[answer].content),
                finish_reason="stop",
                usage=UsageInfo(prompt_tokens=1, completion_tokens=1),
                timings=TimingInfo(),
                model="echo/echo",
                at=1.0,
            )
        )

    def reload(self) -> None:
        """The server starts again: the same conversation, in another epoch."""
        state = Conversation.from_snapshot(self.session.state.snapshot("s", self.session.epoch))
        self.session = Session(about(), self.session.limits, Clock())
        self.session.state = state

    def stream(self, last_event_id: str = "") -> bytes:
        """All that a client which comes with that id is sent by now."""
        place = Place.read(last_event_id) if last_event_id else None
        subscriber = self.session.subscribe(place and place.seq, place and place.epoch)
        encoder = TextEvents(self.session.epoch, place, self.text_of)
        sent = b""
        while (frame := subscriber.next_frame()) is not None:
            sent += b"".join(portion.events for portion in encoder.encode(frame))
        subscriber.close()
        return sent

    def text_of(self, answer: str) -> str:
        return str(self.session.state.nodes[answer].content)

    def visit(self, page: TextPage, cut: int | None = None) -> None:
        """Let `page` read what there is, or as many bytes of it as come through before the line is cut."""
        for event in EventSource(page.last_event_id).take(self.stream(page.last_event_id)[:cut]):
            page.see(event)


# The text


@given(PIECES)
def test_a_page_has_the_text_that_was_written(pieces: list[str]) -> None:
    log, page = Log(), TextPage()
    log.begin("a")
    log.write("a", *pieces)
    log.end("a")
    log.visit(page)
    assert page.texts.get("a", "") == plain("".join(pieces))
    assert page.completed == {"a": 1}, "a text can neither end an event nor forge one"


@given(PIECES, st.integers(0, 12))
def test_who_comes_late_has_the_same_text(pieces: list[str], late: int) -> None:
    log, first, second = Log(), TextPage(), TextPage()
    log.begin("a")
    log.visit(first)
    for number, piece in enumerate(pieces):
        log.write("a", piece)
        log.visit(first)
        if number >= late:
            log.visit(second)
    log.end("a")
    log.visit(first)
    log.visit(second)
    assert second.texts == first.texts
    assert second.completed == first.completed == {"a": 1}


@given(PIECES, st.lists(st.integers(0, 400), max_size=12), st.lists(st.booleans(), max_size=12), st.booleans())
def test_a_page_that_is_cut_off_anywhere_and_comes_back_has_every_character_once(
    pieces: list[str], cuts: list[int], restarts: list[bool], failed: bool
) -> None:
    """Also when the server was started again in between, and when the window has moved on."""
    log, page = Log(Limits(window_events=4)), TextPage()
    log.begin("a")
    turns = [*pieces, None]
    for number, piece in enumerate(turns):
        if piece is None:
            log.end("a", failed)
        else:
            log.write("a", piece)
        if number < len(cuts):
            log.visit(page, cuts[number])
        if number < len(restarts) and restarts[number]:
            log.reload()
    log.begin("b")
    log.write("b", "next")
    for cut in cuts:
        log.visit(page, cut)
    log.end("b")
    log.visit(page)
    text = plain("".join(pieces))
    told = "⚠️ **Model generation failed**\n\nIt broke." if failed else ""
    assert page.texts.get("a", "") == text + ("\n\n" if text and told else "") + told
    assert page.texts["b"] == "next"
    assert page.completed == {"a": 1, "b": 1}


def test_only_what_the_answer_says_is_sent() -> None:
    log, page = Log(), TextPage()
    log.session.publish(NoticeEvent(message="a notice"))
    log.begin("a")
    log.write("a", "thinking", channel="reasoning")
    log.write("a", "said")
    log.end("a")
    log.visit(page)
    assert page.texts == {"a": "said"}


def test_a_page_that_has_everything_is_sent_nothing() -> None:
    log, page = Log(), TextPage()
    log.begin("a")
    log.write("a", "all")
    log.end("a")
    log.visit(page)
    assert log.stream(page.last_event_id) == b""
    log.reload()
    assert log.stream(page.last_event_id) == b"", "not even after a restart"


def test_an_answer_that_goes_on_does_so_where_it_ended() -> None:
    log, page, late = Log(), TextPage(), TextPage()
    log.begin("a")
    log.write("a", "once")
    log.end("a")
    log.begin("b")
    log.end("b")
    log.visit(page)
    log.session.publish(TypingEvent(id="a", model="echo/echo", at=1.0, parent_id="a?"))
    log.visit(late)
    log.write("a", " more")
    log.end("a")
    log.visit(page)
    log.visit(late)
    assert page.texts == late.texts == {"a": "once more"}
    assert page.completed == {"a": 2, "b": 1}


def test_going_on_without_a_word_adds_nothing() -> None:
    log, page = Log(), TextPage()
    for answer in ("a", "b"):
        log.begin(answer)
        log.write(answer, "text")
        log.end(answer)
    log.visit(page)
    log.session.publish(TypingEvent(id="a", model="echo/echo", at=1.0, parent_id="a?"))
    log.end("a")
    log.visit(page)
    assert page.texts == {"a": "text", "b": "text"}


def test_an_answer_that_was_removed_does_not_bring_the_others_back() -> None:
    log, page = Log(), TextPage()
    for answer in ("a", "b"):
        log.begin(answer)
        log.write(answer, "text")
        log.end(answer)
    log.visit(page)
    del log.session.state.nodes["b"]
    log.reload()
    log.begin("c")
    log.write("c", "text")
    log.visit(page)
    assert page.texts == {"a": "text", "b": "text", "c": "text"}


def test_a_client_that_knows_only_epoch_and_seq_goes_on_from_there() -> None:
    log, page = Log(), TextPage()
    log.begin("a")
    log.write("a", "one ", "two")
    log.end("a")
    for back, text in ((2, {"a": "two"}), (1, {}), (0, {})):
        page = TextPage(last_event_id=f"{log.session.epoch}:{log.session.head - back}")
        log.visit(page)
        assert page.texts == text, "no more than what followed that event"
        assert len(page.completed) == (back > 0)


@pytest.mark.parametrize(
    ("code", "headline"),
    [("model_not_found", "🔴 **Model not loaded**"), ("internal", "⚠️ **Model generation failed**")],
)
def test_a_failure_is_told_in_markdown_and_ends_the_answer(code: str, headline: str) -> None:
    log, page = Log(), TextPage()
    log.begin("a")
    log.session.publish(ErrorEvent.model_validate({"id": "a", "code": code, "message": "Why."}))
    log.visit(page)
    assert page.texts == {"a": f"{headline}\n\nWhy."}
    assert page.completed == {"a": 1}


def test_a_failure_is_told_a_word_at_a_time_each_with_a_place_to_come_back_to() -> None:
    log = Log()
    log.begin("a")
    log.write("a", "so")
    log.end("a", failed=True)
    events = list(EventSource().take(log.stream()))
    whole = TextPage()
    for event in events:
        whole.see(event)
    assert whole.texts["a"] == "so\n\n⚠️ **Model generation failed**\n\nIt broke."
    words = [event.data.partition("|")[2] for event in events if event.kind == "message"]
    assert words == ["so", "\n\n⚠️", " **Model", " generation", " failed**", "\n\nIt", " broke."]
    for event in events[1:]:
        log.reload()
        rest = TextPage()
        for missed in EventSource(event.id).take(log.stream(event.id)):
            rest.see(missed)
        had = words[: events.index(event) + 1]
        assert "".join(had) + rest.texts.get("a", "") == whole.texts["a"]


def test_an_answers_first_words_wait_until_a_page_can_have_made_room_and_nothing_else_does() -> None:
    log = Log()
    encoder = TextEvents(log.session.epoch, None, log.text_of)
    subscriber = log.session.subscribe()
    for answer in ("a", "b"):
        log.begin(answer)
        log.write(answer, "one", "two")
        log.end(answer)
    portions = []
    while (frame := subscriber.next_frame()) is not None:
        portions += encoder.encode(frame)
    assert [portion.after_s for portion in portions] == [FIRST_WORD_S, 0, 0] * 2


# Places


@given(
    epoch=st.text("0123456789abcdef", min_size=1, max_size=16),
    seq=st.integers(0, 10**15 - 1),
    answer=st.text(min_size=1, max_size=16),
    points=st.integers(0, 10**15 - 1),
    stage=st.sampled_from(["", "told1", "told47", "end"]),
)
def test_a_place_is_read_as_it_was_written(epoch: str, seq: int, answer: str, points: int, stage: str) -> None:
    place = Place(epoch, seq, answer, points, stage)
    assert Place.read(str(place)) == place
    assert Place.read(f"{epoch}:{seq}") == Place(epoch, seq)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "1",
        ":1",
        "e:",
        "e:-1",
        "e:1:",
        "e:1:a",
        "e:1:a:b",
        "e:1:a:1:done",
        "e:1:a:1:told",
        "e:1:a:1:told0",
        "e:1\n",
        "é:1",
        "e:" + "9" * 16,
    ],
)
def test_what_is_no_place_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BadPlace, match=r"^[A-Z].*\.$"):
        Place.read(text)


# Whole frames


@given(PIECES)
def test_frames_travel_whole_and_those_of_the_log_have_a_place(pieces: list[str]) -> None:
    log = Log()
    log.begin("a")
    log.write("a", *pieces)
    encoder, source = MessageEvents("e"), EventSource()
    frames = [log.session.entry(seq).frame for seq in range(1, log.session.head + 1)]
    frames.append(log.session.snapshot_frame())
    frames.append('{"type":"progress","id":"a","phase":"decoding"}')
    events = list(source.take(b"".join(portion.events for frame in frames for portion in encoder.encode(frame))))
    assert [event.data for event in events] == frames
    assert [event.kind for event in events] == [json.loads(frame)["type"] for frame in frames]
    seqs = [*range(1, log.session.head + 1), log.session.head, log.session.head]
    assert [event.id for event in events] == [f"e:{seq}" for seq in seqs]
