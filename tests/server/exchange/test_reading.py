from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.exchange import archive, reading
from server.exchange.draft import DocumentError, Draft, Problem
from server.exchange.own import document
from server.exchange.reading import read
from tests.server.exchange.conversations import ai, conversation, user

DATA = Path(__file__).parent / "data"
TEA = document(conversation(user("q", "Tea?"), ai("a", "Yes.", "q")), 0.0)


def sources(data: bytes) -> list[str]:
    return [outcome.source if isinstance(outcome, Draft) else outcome.reason for outcome in read(data, now=0.0)]


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive_:
        for name, content in files.items():
            archive_.writestr(name, content)
    return buffer.getvalue()


def damaged(data: bytes) -> bytes:
    return data[:200] + bytes(byte ^ 0xFF for byte in data[200:300]) + data[300:]


CHATGPT = (DATA / "chatgpt.json").read_bytes()


def test_each_kind_of_document_is_recognised() -> None:
    assert sources(TEA) == ["switchboard"]
    assert sources(CHATGPT) == ["chatgpt", "chatgpt"]
    assert sources((DATA / "open_webui.json").read_bytes()) == ["open_webui", "open_webui"]
    assert sources((DATA / "open_webui_old.json").read_bytes()) == ["open_webui"]
    assert sources(b'{"conversations": ' + CHATGPT + b"}") == ["chatgpt", "chatgpt"]
    assert sources(b"\xef\xbb\xbf\n" + CHATGPT) == ["chatgpt", "chatgpt"]


def test_a_zip_is_looked_into_in_the_order_of_its_numbers() -> None:
    one, two = (json.dumps([each]).encode() for each in json.loads(CHATGPT))
    data = zipped(**{"user.json": b"{}", "e/conversations-010.json": two, "e/conversations-002.json": one})
    titles = [outcome.about.title for outcome in read(data, now=0.0) if isinstance(outcome, Draft)]
    assert titles == ["Bread at altitude", "Draw a cat"]
    assert sources(zipped(**{"conversations.json": CHATGPT})) == ["chatgpt", "chatgpt"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", reading.UNKNOWN),
        (b"hello", reading.UNKNOWN),
        (b"null", reading.UNKNOWN),
        (b'"text"', reading.UNKNOWN),
        (b"{}", reading.UNKNOWN),
        (b'[{"a": 1}, 2]', reading.UNKNOWN),
        (b'[{"mapping": {}}', "not valid JSON at byte"),
        (b'{"format": "switchboard", "version": 1}', "has no sessions"),
        (b'{"format": "switchboard", "version": 1, "sessions": 5}', "has no sessions"),
        (b'{"format": "switchboard", "version": "one", "sessions": []}', "newer version"),
        (zipped(**{"notes.txt": b"x"}), "no conversations.json"),
        (zipped(**{"__MACOSX/conversations.json": b"x"}), "no conversations.json"),
        (zipped(**{"conversations.json": CHATGPT})[:-30], archive.BROKEN),
        (b"PK\x03\x04" + b"x" * 100, archive.BROKEN),
        (damaged(zipped(**{"conversations.json": CHATGPT})), archive.BROKEN),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(data: bytes, says: str) -> None:
    with pytest.raises(DocumentError, match=says):
        list(read(data, now=0.0))


def test_an_empty_document_is_one() -> None:
    assert sources(b"[]") == []
    assert sources(b'{"format": "switchboard", "version": 1, "sessions": []}') == []


def test_one_bad_conversation_does_not_keep_the_others_out() -> None:
    good = json.dumps(json.loads(CHATGPT)[1])
    for bad in ('{"mapping": {"a": nonsense}}', '{"title": "T"}', "null"):
        first, second = read(f"[{bad}, {good}]".encode(), now=0.0)
        assert isinstance(first, Problem)
        assert first.reason.startswith("Conversation 1")
        assert isinstance(second, Draft)


@pytest.mark.parametrize(
    ("conversation_", "says"),
    [
        ('{"mapping": ' + '{"a":' * 120 + "1" + "}" * 120 + "}", "deeper than 100"),
        ('{"mapping": ["' + "x" * reading.MAX_SESSION_BYTES + '"]}', "larger than 16 MiB"),
        ('{"mapping": [' + "[]," * 250_001 + "0]}", "more than 500,000 parts"),
        ('{"mapping": ' + "9" * 5_000 + "e}", "not valid JSON"),
    ],
)
def test_what_is_too_much_is_passed_over(conversation_: str, says: str) -> None:
    first, second = read(f"[{conversation_}, {json.dumps(json.loads(CHATGPT)[1])}]".encode(), now=0.0)
    assert isinstance(first, Problem)
    assert says in first.reason
    assert isinstance(second, Draft)


def test_halves_of_characters_and_what_is_no_number_are_mended() -> None:
    data = b'[{"title": "cut \\ud83d", "create_time": NaN, "mapping": {"a": {"message": {"author": {"role": "user"},'
    data += (
        b'"create_time": Infinity, "content": {"content_type": "text", "parts": ["\\ud83d\\ude00 \\udc00 \xff"]}}}}}]'
    )
    [draft] = read(data, now=7.0)
    assert isinstance(draft, Draft)
    assert draft.about.title == "cut \ufffd"
    assert draft.about.created_at == 7.0
    assert draft.messages[0].message == "😀 \ufffd \ufffd"


def test_numbers_that_nobody_can_store_are_nothing() -> None:
    huge = TEA.replace(b'"settings":{}', b'"settings":{"a":1e400,"b":' + b"9" * 5_000 + b',"c":1e5,"d":-7}')
    [draft] = read(huge, now=0.0)
    assert isinstance(draft, Draft)
    assert draft.about.settings == {"a": None, "b": None, "c": 1e5, "d": -7}


def test_a_zip_that_unfolds_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 1_000_000)
    bomb = zipped(**{"conversations.json": b" " * 1_000_001})
    assert len(bomb) < 2_000
    with pytest.raises(DocumentError, match="unfolds to more"):
        list(read(bomb, now=0.0))


def test_a_zip_with_too_many_names_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_DIRECTORY_BYTES", 60)
    with pytest.raises(DocumentError, match="too many files"):
        list(read(zipped(a=b"", b=b"", **{"conversations.json": CHATGPT}), now=0.0))


def test_too_many_conversations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_SESSIONS", 1)
    with pytest.raises(DocumentError, match="more than 1 conversations"):
        list(read(CHATGPT, now=0.0))


FIELDS = (
    *("mapping", "chat", "history", "messages", "message", "sessions", "format", "version", "id", "a", "b"),
    *("parent", "children", "parentId", "childrenIds", "current_node", "currentId", "title", "create_time"),
    *("author", "role", "content", "parts", "content_type", "metadata", "timestamp", "output", "error", "usage"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=25,
)


def refusal(data: bytes) -> str | None:
    """Why this document was refused, if it was; any other error is the test's."""
    try:
        list(read(data, now=0.0))
    except DocumentError as error:
        return str(error)
    return None


@settings(max_examples=80)
@given(json_values)
def test_whatever_a_document_says_no_error_leaves_but_ours(said: object) -> None:
    for document_ in (said, [said], {"sessions": [said], "format": "switchboard", "version": 1}, {"mapping": said}):
        assert (refusal(json.dumps(document_).encode()) or ".").endswith(".")


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, 600), st.sampled_from([TEA, CHATGPT[:600]]))
def test_a_document_with_bytes_changed_is_read_or_refused(noise: bytes, at: int, data: bytes) -> None:
    assert (refusal(data[:at] + noise + data[at + len(noise) :]) or ".").endswith(".")
