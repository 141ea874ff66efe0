import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.ndjson import BadLine, LineReader

objects = st.lists(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20), max_size=3), max_size=6)
cuts = st.lists(st.integers(min_value=0, max_value=400), max_size=12)


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def read(chunks: list[bytes], limit: int = 1 << 20) -> tuple[list[dict[str, object]], str]:
    """Everything the reader gives for the chunks, and how it ended."""
    reader, found = LineReader(limit), []
    try:
        for chunk in chunks:
            found.extend(reader.feed(chunk))
        found.extend(reader.finish())
    except BadLine as error:
        return found, str(error)
    return found, "end"


@given(objects, cuts, st.sampled_from([b"\n", b"\r\n", b"\n\n"]), st.booleans())
def test_any_cut_of_the_bytes_gives_the_same_objects(
    lines: list[dict[str, object]], cuts: list[int], newline: bytes, ascii_only: bool
) -> None:
    body = b"".join(json.dumps(line, ensure_ascii=ascii_only).encode() + newline for line in lines)
    assert read(pieces(body, cuts)) == (lines, "end")


@given(st.binary(max_size=120), cuts)
def test_any_cut_of_any_bytes_ends_the_same_way(body: bytes, cuts: list[int]) -> None:
    good = b'{"a": 1}\n'
    assert read(pieces(good + body, cuts), limit=40) == read([good + body], limit=40)


def test_a_last_line_needs_no_newline() -> None:
    assert read([b'{"done":', b"true}"]) == ([{"done": True}], "end")


def test_a_character_in_two_chunks_stays_whole() -> None:
    body = '{"text": "naïve 🦙"}\n'.encode()
    assert all(read([body[:cut], body[cut:]]) == ([{"text": "naïve 🦙"}], "end") for cut in range(len(body)))


@pytest.mark.parametrize(
    "line",
    [
        b"<html>",
        b'{"a": ',
        b"[1]",
        b"null",
        b'"text"',
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"n": ' + b"9" * 10_000 + b"}",
    ],
    ids=["html", "truncated", "list", "null", "string", "not UTF-8", "deeply nested", "huge number"],
)
def test_a_line_that_is_no_object_is_refused(line: bytes) -> None:
    assert read([b'{"a": 1}\n' + line + b"\n"])[0] == [{"a": 1}]
    assert read([line + b"\n"])[1] != "end"


def test_a_line_past_the_limit_is_refused_before_it_is_whole() -> None:
    reader = LineReader(limit=1000)
    for _ in range(10):
        assert list(reader.feed(b"x" * 100)) == []
    with pytest.raises(BadLine, match="longer than 1000 bytes"):
        list(reader.feed(b"x"))


def test_many_lines_together_may_be_longer_than_the_limit() -> None:
    assert read([b'{"a": 1}\n' * 50], limit=20) == ([{"a": 1}] * 50, "end")
