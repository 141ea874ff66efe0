"""Streams of tokens become the same text as all tokens at once, and end before a stop string."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.detokenizer import StopChecker, StreamDecoder


def decode_in_pieces(pieces: list[bytes]) -> list[str]:
    decoder = StreamDecoder(lambda index: pieces[index])
    return [*(decoder.push(index) for index in range(len(pieces))), decoder.flush()]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(st.binary(), st.lists(st.integers(0, 10**6)))
def test_any_bytes_in_any_pieces_decode_like_the_whole(data: bytes, places: list[int]) -> None:
    assert "".join(decode_in_pieces(cut(data, places))) == data.decode("utf-8", "replace")


@given(st.text(), st.lists(st.integers(0, 10**6)))
def test_a_text_in_any_pieces_never_shows_a_replacement_character(text: str, places: list[int]) -> None:
    pieces = decode_in_pieces(cut(text.encode(), places))
    assert "".join(pieces) == text
    assert sum(piece.count("\ufffd") for piece in pieces) == text.count("\ufffd")


def test_an_emoji_cut_into_bytes_comes_out_with_its_last_byte() -> None:
    assert decode_in_pieces([bytes([byte]) for byte in "🙂".encode()]) == ["", "", "", "🙂", ""]


def test_a_character_that_is_never_finished_is_replaced_at_the_end() -> None:
    assert decode_in_pieces(["好".encode()[:2]]) == ["", "\ufffd"]


def test_the_first_space_is_taken_off_once_when_asked() -> None:
    decoder = StreamDecoder(lambda index: [b"", b" Hello", b" world"][index], strip_first_space=True)
    assert [decoder.push(index) for index in range(3)] == ["", "Hello", " world"]


def run_checker(stop: list[str], pieces: list[str]) -> tuple[list[str], bool]:
    checker, shown = StopChecker(stop), []
    for piece in pieces:
        text, stopped = checker.push(piece)
        shown.append(text)
        if stopped:
            return shown, True
    return [*shown, checker.flush()], False


def test_only_what_could_become_a_stop_string_is_held_back() -> None:
    assert run_checker(["\nUser:"], ["Hello\n", "Us", "ed", " it\n", "User", ": x"]) == (
        ["Hello", "", "\nUsed", " it", "", ""],
        True,
    )


def test_what_was_held_back_comes_out_at_the_end() -> None:
    assert run_checker(["STOP"], ["go ST", "O"]) == (["go ", "", "STO"], False)


def test_nothing_comes_after_the_stop_string() -> None:
    checker = StopChecker(["END"])
    assert checker.push("one END two") == ("one ", True)
    assert checker.push("three") == ("", True)
    assert checker.flush() == ""


def test_without_stop_strings_nothing_is_held_back() -> None:
    assert run_checker([], ["a", "b"]) == (["a", "b", ""], False)
    assert run_checker([""], ["a"]) == (["a", ""], False)


def first_stop(stop: list[str], text: str) -> int | None:
    """By definition: the earliest end of any stop string, and of those ending there the earliest start."""
    for end in range(1, len(text) + 1):
        starts = [end - len(one) for one in stop if one and text[:end].endswith(one)]
        if starts:
            return min(starts)
    return None


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=4),
    st.lists(st.text("ab", max_size=5), max_size=12),
)
def test_the_text_ends_where_the_first_stop_string_begins_however_it_is_cut(stop: list[str], pieces: list[str]) -> None:
    shown, stopped = run_checker(stop, pieces)
    whole = "".join(pieces)
    start = first_stop(stop, whole)
    assert stopped == (start is not None)
    assert "".join(shown) == whole[:start], "the text shown is not the text before the stop string"
