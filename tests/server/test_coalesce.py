from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.coalesce import Channel, Coalescer
from tests.server.doubles import ManualClock


class Gathered:
    """A coalescer, what came out of it, and the clock it goes by."""

    def __init__(self) -> None:
        self.out: list[tuple[Channel, int, str]] = []
        self.clock = ManualClock()
        self.tokens: list[int] = []
        self.coalescer = Coalescer(self._take, self.clock, 0.04)

    def _take(self, channel: Channel, offset: int, text: str, token_ids: tuple[int, ...]) -> None:
        self.out.append((channel, offset, text))
        self.tokens += token_ids

    def add(self, *texts: str) -> None:
        for text in texts:
            self.coalescer.add("content", text, (1,))

    def texts(self) -> list[str]:
        return [text for _, _, text in self.out]


def test_the_first_piece_goes_at_once_and_the_next_ones_wait():
    gathered = Gathered()
    gathered.add("a", "b", "c")
    assert gathered.texts() == ["a"]
    gathered.coalescer.flush()
    assert gathered.out == [("content", 0, "a"), ("content", 1, "bc")]


def test_what_waits_goes_when_the_time_is_over_and_not_before():
    gathered = Gathered()
    gathered.add("a", "b")
    gathered.clock.advance(0.03)
    gathered.add("c")
    assert gathered.texts() == ["a"]
    gathered.clock.advance(0.011)
    assert gathered.texts() == ["a", "bc"]
    gathered.add("d")
    gathered.clock.advance(0.04)
    assert gathered.texts() == ["a", "bc", "d"]


def test_what_waits_goes_at_the_tenth_token():
    gathered = Gathered()
    gathered.add("first", *"123456789")
    assert gathered.texts() == ["first"]
    gathered.add("0")
    assert gathered.texts() == ["first", "1234567890"]


def test_what_waits_goes_at_a_lines_end():
    gathered = Gathered()
    gathered.add("first", "a", "b\n", "c")
    assert gathered.texts() == ["first", "ab\n"]


def test_another_channel_sends_on_what_waits_in_the_first_and_has_offsets_of_its_own():
    gathered = Gathered()
    gathered.coalescer.add("reasoning", "Hm", (1,))
    gathered.coalescer.add("reasoning", "m", (1,))
    gathered.add("Yes", "!")
    gathered.coalescer.flush()
    assert gathered.out == [("reasoning", 0, "Hm"), ("reasoning", 2, "m"), ("content", 0, "Yes!")]


def test_no_timer_is_left_after_a_flush():
    gathered = Gathered()
    gathered.add("a", "b")
    gathered.coalescer.flush()
    assert gathered.clock.pending == 0


def test_halves_of_a_character_go_out_as_one():
    gathered = Gathered()
    gathered.add("\ud83d")
    assert gathered.out == []
    gathered.add("\ude00", "é")
    gathered.coalescer.flush()
    assert gathered.out == [("content", 0, "😀"), ("content", 1, "é")]


def test_a_half_that_stays_alone_becomes_the_replacement_character():
    gathered = Gathered()
    gathered.add("a", "\ud83d")
    gathered.coalescer.flush()
    assert gathered.coalescer.text("content") == "a\ufffd"


@given(st.lists(st.text(), max_size=30), st.data())
def test_no_character_is_lost_doubled_or_misplaced(pieces: list[str], data: st.DataObject):
    gathered, sent = Gathered(), list[int]()
    for piece in pieces:
        tokens = data.draw(st.lists(st.integers(0, 9), max_size=4))
        sent += tokens
        gathered.coalescer.add("content", piece, tokens)
        gathered.clock.advance(data.draw(st.sampled_from([0, 0.02, 0.05])))
    gathered.coalescer.flush()
    whole = "".join(pieces)
    assert "".join(gathered.texts()) == whole == gathered.coalescer.text("content")
    assert gathered.tokens == (sent if pieces and pieces[-1] else gathered.tokens), "Tokens go with the next text."
    assert gathered.tokens == sent[: len(gathered.tokens)]
    for _, offset, text in gathered.out:
        assert whole[offset : offset + len(text)] == text


@given(st.text(alphabet="a😀é", max_size=20))
def test_text_cut_inside_its_characters_comes_out_whole(text: str):
    gathered = Gathered()
    units = text.encode("utf-16-le")
    for at in range(0, len(units), 2):
        gathered.add(units[at : at + 2].decode("utf-16-le", "surrogatepass"))
    gathered.coalescer.flush()
    assert "".join(gathered.texts()) == text
