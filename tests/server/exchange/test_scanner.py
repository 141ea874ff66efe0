from __future__ import annotations

import contextlib
import json
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.exchange.scanner import Broken, begin, elements, members, value

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
documents = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def depth_of(document: object) -> int:
    inside = document.values() if isinstance(document, dict) else document if isinstance(document, list) else None
    return 0 if inside is None else 1 + max(map(depth_of, inside), default=0)


@settings(max_examples=30)
@given(st.lists(documents, max_size=4), st.sampled_from([None, 1]), st.booleans())
def test_elements_are_those_of_the_array(array: list[object], indent: int | None, ascii_only: bool) -> None:
    data = json.dumps(array, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    spans = list(elements(data, begin(data)))
    assert [json.loads(data[span.start : span.end]) for span in spans] == array
    assert [span.depth for span in spans] == [depth_of(element) for element in array]


@settings(max_examples=30)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), documents, max_size=4), st.booleans())
def test_members_are_those_of_the_object(members_: dict[str, object], spaced: bool) -> None:
    data = json.dumps(members_, indent=1 if spaced else None).encode()
    found = {key: json.loads(data[span.start : span.end]) for key, span in members(data, begin(data))}
    assert found == members_


@given(st.binary(max_size=60) | st.text('[]{}",:\\ 1a', max_size=60).map(str.encode))
def test_whatever_comes_it_is_read_or_broken(data: bytes) -> None:
    with contextlib.suppress(Broken):
        assert len(list(elements(b"[" + data, 0))) <= len(data)
    with contextlib.suppress(Broken):
        assert len(list(members(b"{" + data, 0))) <= len(data)


@pytest.mark.parametrize(
    "data", [b"[1", b"[1,", b'["a', b"[{}", b"[[1,2]", b"[1 2]", b"[,]", b"[}", b'["\\"]', b'[["]]']
)
def test_an_array_that_breaks_off_is_broken(data: bytes) -> None:
    with pytest.raises(Broken):
        list(elements(data, 0))


def test_a_byte_order_mark_and_white_space_are_passed_over() -> None:
    assert begin(b"\xef\xbb\xbf \r\n\t[]") == 7


HOSTILE = {
    "brackets": b"[" * 100_000,
    "escapes": b'"' + b"\\n" * 2_000_000,
    "spaces": b" " * 4_000_000,
    "digits": b"9" * 4_000_000,
    "strings": b'[""' * 50_000,
    "quotes": b'"a' * 100_000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_takes_no_longer_than_other_text(data: bytes) -> None:
    """Twice the text takes about twice the time: nothing is gone through again and again."""
    seconds = []
    for size in (1, 2):
        began = time.process_time()
        with pytest.raises(Broken):
            list(elements(b"[" + data * size, 0))
        seconds.append(time.process_time() - began)
    assert seconds[1] < 20 * seconds[0] + 0.2


def test_a_text_full_of_escapes_takes_no_memory() -> None:
    data = b'["' + b"\\n" * 1_000_000 + b'"]'
    tracemalloc.start()
    try:
        [span] = elements(data, 0)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert span.end == len(data) - 1


def test_parts_are_counted() -> None:
    assert value(b'{"a": [1, "b", {}]}', 0).parts == 8
