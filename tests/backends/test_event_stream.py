import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.event_stream import EventReader
from backends.ndjson import BadLine

objects = st.lists(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20), max_size=3), max_size=6)
cuts = st.lists(st.integers(min_value=0, max_value=400), max_size=12)


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def read(chunks: list[bytes], limit: int = 1 << 20) -> tuple[list[dict[str, object]], str]:
    """Everything the reader gives for the chunks, and how it ended."""
    reader, found = EventReader(limit), []
    try:
        for chunk in chunks:
            found.extend(reader.feed(chunk))
        found.extend(reader.finish())
    except BadLine as error:
        return found, str(error)
    return found, "end"


@given(objects, cuts, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.sampled_from([b"", b" "]), st.booleans())
def test_any_cut_of_the_bytes_gives_the_same_objects(
    told: list[dict[str, object]], cuts: list[int], newline: bytes, space: bytes, ascii_only: bool
) -> None:
    events = [b"data:" + space + json.dumps(line, ensure_ascii=ascii_only).encode() for line in told]
    body = b"".join(event + 2 * newline for event in events)
    assert read(pieces(body, cuts)) == (told, "end")


@given(st.binary(max_size=120), cuts)
def test_any_cut_of_any_bytes_ends_the_same_way(body: bytes, cuts: list[int]) -> None:
    good = b'data: {"a": 1}\n\n'
    assert read(pieces(good + body, cuts), limit=40) == read([good + body], limit=40)


@pytest.mark.parametrize(
    "body",
    [
        b': ping\n\ndata: {"a": 1}\n\n',
        b':\n\n:\r\ndata:{"a": 1}\r\n\r\n',
        b'id: 7\nretry: 10\nevent: chunk\ndata: {"a": 1}\n\n',
        b'data: {"a":\ndata: 1}\n\n',
        b'\xef\xbb\xbfdata: {"a": 1}\n\n',
        b'data: {"a": 1}\n\n\n\n',
        b'data\n\ndata:\n\ndata: {"a": 1}',
        b'{"ignored": 1}\ndata: {"a": 1}\n\n',
    ],
)
def test_what_is_no_data_is_passed_over(body: bytes) -> None:
    assert read([body]) == ([{"a": 1}], "end")


def test_the_word_at_the_end_is_told() -> None:
    assert read([b'data: {"a": 1}\n\ndata: [DONE]\n\n']) == ([{"a": 1}, {"done": True}], "end")
    assert read([b"data:[DONE]"]) == ([{"done": True}], "end")


def test_an_event_by_the_name_of_error_is_one() -> None:
    assert read([b'event: error\ndata: {"message": "broken"}\n\n']) == ([{"error": {"message": "broken"}}], "end")
    assert read([b'event: error\ndata: {"error": "broken"}\n\n']) == ([{"error": "broken"}], "end")
    assert read([b'event: error\n\ndata: {"a": 1}\n\n']) == ([{"a": 1}], "end")


def test_a_character_in_two_chunks_stays_whole() -> None:
    body = 'data: {"text": "naïve 🦙"}\n\n'.encode()
    assert all(read([body[:cut], body[cut:]]) == ([{"text": "naïve 🦙"}], "end") for cut in range(len(body)))


@pytest.mark.parametrize("data", [b"<html>", b'{"a": ', b"[1]", b"null", b'{"a": "\xff"}', b"[" * 100_000])
def test_data_that_is_no_object_is_refused(data: bytes) -> None:
    found, end = read([b'data: {"a": 1}\n\ndata: ' + data + b"\n\n"])
    assert found == [{"a": 1}]
    assert end.startswith("A line is not")


@pytest.mark.parametrize("body", [b"x" * 2000, b"data: 1\n" * 300, b": " + b"x" * 2000, b"data:\n" * 300])
def test_an_endless_event_is_refused(body: bytes) -> None:
    assert read([body], limit=1000)[1] == "An event is longer than 1000 bytes."


def test_many_comments_are_no_event() -> None:
    assert read([b": ping\n" * 1000, b'data: {"a": 1}\n\n'], limit=100) == ([{"a": 1}], "end")
