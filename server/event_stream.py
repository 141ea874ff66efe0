"""A conversation's log as server-sent events: the second encoding of what WebSockets are sent as JSON frames.

Knows frames, events and places in a log; nothing of sockets, and not how fast anybody reads. Two forms:

    MessageEvents   every frame as it is; `event:` is its type
    TextEvents      the answers' text alone: `message` events with the data `<answer's id>|<text>`, then `complete`

The `id` of an event says what its client has, so that whoever comes back with it gets what followed. For frames the
epoch and the `seq` are enough. A client of texts adds up what it is given and cannot start over from a snapshot, so its
ids also say of which answer it has how many code points: the text then goes on to the character, even in another epoch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, unquote

import orjson

from server.failures import failure_text

# epoch : seq [: answer : code points of it [: stage]]
ID = re.compile(r"(\w{1,64}):(\d{1,15})(?::([^:]{1,200}):(\d{1,15})(?::(told[1-9]\d{0,8}|end))?)?", re.ASCII)
TOLD, END = "told", "end"
WORD = re.compile(r"\s*\S+|\s+")
FIRST_WORD_S = 0.25  # a page that has just asked is told where the answer belongs over another connection
WORD_EVERY_S = 0.03


class BadPlace(ValueError):
    """An event id that no stream ever gave out."""


@dataclass(slots=True, frozen=True)
class Place:
    """What a client has: the log of that `epoch` up to `seq`, and `points` code points of the answer that came last.

    `stage`: beyond that it was "told" so many code points of why that answer failed; "end": and that it has ended.
    """

    epoch: str
    seq: int
    answer: str = ""
    points: int = 0
    stage: str = ""

    @classmethod
    def read(cls, text: str) -> Place:
        """What an event's id says. Raises BadPlace."""
        match = ID.fullmatch(text)
        if match is None:
            raise BadPlace("That is no event id of this server. Leave it out to begin anew.")
        epoch, seq, answer, points, stage = match.groups(default="")
        return cls(epoch, int(seq), unquote(answer), int(points or 0), stage)

    def __str__(self) -> str:
        parts = [self.epoch, str(self.seq)]
        if self.answer:
            parts += [quote(self.answer, safe=""), str(self.points)]
        return ":".join([*parts, self.stage] if self.stage else parts)


NOWHERE = Place("0", 0)  # no log has that epoch: whoever comes back from there starts from a snapshot


@dataclass(slots=True, frozen=True)
class Portion:
    """Events that go out together, `after_s` seconds past those before them."""

    events: bytes
    after_s: float = 0.0


class EventEncoder(Protocol):
    """Turns a session's frames, one after the other, into events for one client."""

    def encode(self, frame: str) -> list[Portion]:
        """The events that say what `frame` does."""


class MessageEvents:
    """The frames themselves. Those that are not in the log have no id: there is no coming back to them."""

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch

    def encode(self, frame: str) -> list[Portion]:
        message = orjson.loads(frame)
        place = Place(self._epoch, message["seq"]) if "seq" in message else None
        return [Portion(event(message["type"], frame, place))]


class TextEvents:
    """The answers' text, each code point once, for a client that is at `place`; without one, for a client with nothing.

    Server-sent events know one line end, so the line ends "\\r\\n" and "\\r" become "\\n". Cut in whatever way, the
    pieces of an answer add up to the same text. `text_of` gives the text of an answer as it is by now.
    """

    def __init__(self, epoch: str, place: Place | None, text_of: Callable[[str], str]) -> None:
        self._epoch = epoch
        self._text_of = text_of
        place = place or NOWHERE
        self._answer, self._points, self._stage = place.answer, place.points, place.stage
        self._last = ""  # the last character the client has of this answer; empty: not known
        self._is_new = False  # nothing was said yet of an answer that has just begun
        self._begun = place is not NOWHERE and not self._answer  # what comes of an answer first says where it begins

    def encode(self, frame: str) -> list[Portion]:
        """An answer's first words wait until a page can have made room for them; why it failed is told word by word."""
        message: dict[str, Any] = orjson.loads(frame)
        if "seq" not in message:
            return []
        here = Place(self._epoch, message["seq"])
        before = NOWHERE if message["type"] == "snapshot" else Place(self._epoch, message["seq"] - 1)
        said = list(self._say(message))
        events = []
        for number, (kind, data, state) in enumerate(said, start=1):
            at = here if number == len(said) else before  # a client that is cut off in between is told the rest again
            events.append(event(kind, data, Place(at.epoch, at.seq, *state)))
        return self._paced(events, word_by_word=message["type"] == "error")

    def _paced(self, events: list[bytes], *, word_by_word: bool) -> list[Portion]:
        if not events:
            return []
        pause, self._is_new = FIRST_WORD_S if self._is_new else 0.0, False
        if not word_by_word:
            return [Portion(b"".join(events), pause)]
        return [Portion(events[0], pause), *(Portion(each, WORD_EVERY_S) for each in events[1:])]

    def _say(self, message: dict[str, Any]) -> Iterator[_Said]:
        match message["type"]:
            case "snapshot":
                self._begun = False
                for answer in self._missed([each for each in message["messages"] if each["role"] == "ai"]):
                    yield from self._whole(answer["id"], answer["message"], answer.get("error"), _over(answer))
            case "typing":
                self._begin(message["id"])
            case "delta" if message["channel"] == "content":
                yield from self._text(message["id"], message["offset"], message["message"])
            case "ai":
                yield from self._whole(message["id"], message["message"], None, over=True)
            case "error":
                yield from self._end(message["id"], message)

    def _missed(self, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers from the one on that the client had last. Ids sort by time, should that one be gone."""
        known = [answer["id"] for answer in answers]
        if self._answer in known:
            return answers[known.index(self._answer) :]
        return [answer for answer in answers if answer["id"] > self._answer]

    def _whole(self, answer: str, text: str, error: dict[str, Any] | None, over: bool) -> Iterator[_Said]:
        """Everything of an answer up to now."""
        if self._begun and self._answer in ("", answer):
            self._turn_to(answer, len(text))  # no piece came since it began: there is no more than the client has
        told = list(self._text(answer, 0, text))
        yield from told
        if over and (told or self._stage != "end"):
            yield from self._end(answer, error)

    def _begin(self, answer: str) -> None:
        """The run of `answer` begins; the client may have some of its text from an earlier one."""
        if answer != self._answer:
            self._turn_to(answer, 0)
            self._begun = self._is_new = True
        self._stage = ""

    def _turn_to(self, answer: str, points: int) -> None:
        self._answer, self._points, self._stage, self._last, self._begun = answer, points, "", "", False

    def _text(self, answer: str, offset: int, text: str) -> Iterator[_Said]:
        """What the client does not have of `text`, which begins at `offset` of the answer."""
        if answer != self._answer or self._begun or offset > self._points:
            self._turn_to(answer, offset)
        fresh = text[self._points - offset :]
        if not fresh:
            return
        shown = self._with_plain_line_ends(fresh)
        self._points += len(fresh)
        self._last = fresh[-1]
        self._stage = ""
        if shown:
            yield self._said("message", f"{answer}|{shown}")

    def _with_plain_line_ends(self, fresh: str) -> str:
        if fresh[0] == "\n" and self._points:
            self._last = self._last or self._text_of(self._answer)[self._points - 1 : self._points]
            if self._last == "\r":
                fresh = fresh[1:]  # the other half of a line end that has gone out as "\n"
        return fresh.replace("\r\n", "\n").replace("\r", "\n")

    def _end(self, answer: str, error: dict[str, Any] | None) -> Iterator[_Said]:
        if answer != self._answer:
            self._turn_to(answer, 0)
        self._begun = False
        if error is not None and self._stage != END:
            yield from self._why(answer, error)
        self._stage = END
        yield self._said("complete", answer)

    def _why(self, answer: str, error: dict[str, Any]) -> Iterator[_Said]:
        """What the client does not have yet of the reason for a failure, word by word."""
        gap = "\n\n" if self._points else ""
        told = int(self._stage.removeprefix(TOLD) or 0)
        for word in WORD.findall(f"{gap}{failure_text(error['code'], error['message'])}"[told:]):
            told += len(word)
            self._stage = f"{TOLD}{told}"
            yield self._said("message", f"{answer}|{word}")

    def _said(self, kind: str, data: str) -> _Said:
        return kind, data, (self._answer, self._points, self._stage)


_Said = tuple[str, str, tuple[str, int, str]]


def event(kind: str, data: str, place: Place | None = None) -> bytes:
    """One event. Each line of `data` gets a line of its own, so that no text can end the event or begin another."""
    lines = "\ndata: ".join(data.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    identity = f"id: {place}\n" if place is not None else ""
    return f"event: {kind}\n{identity}data: {lines}\n\n".encode()


def _over(answer: dict[str, Any]) -> bool:
    return "finish_reason" in answer or "error" in answer
