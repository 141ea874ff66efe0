"""Characters that come in halves are put together, and a half that stays alone harms nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import Done, Reasoning, Text
from backends.echo import EchoBackend
from server.hub import Hub
from server.mended import Mended
from server.routes.chat_completions import chat_completions_router
from tests.server.doubles import Puppet
from tests.server.routed import routed

HALVES = "\ud83d", "\ude00"  # of 😀


def test_halves_of_a_character_meet_again() -> None:
    mended = Mended()
    first, second = (mended.mend(Text(text, (1,))) for text in ("so " + HALVES[0], HALVES[1] + "!"))
    assert (first, second) == (Text("so ", (1,)), Text("😀!", (1,)))


def test_halves_of_different_texts_do_not() -> None:
    mended = Mended()
    pieces = [Text(HALVES[0]), Reasoning(HALVES[1]), Text(HALVES[1], index=1), Text(HALVES[1])]
    assert [getattr(mended.mend(piece), "text", None) for piece in pieces] == ["", "�", "�", "😀"]


@given(st.lists(st.text(st.characters(), max_size=5), max_size=5))
def test_whatever_comes_can_be_written(texts: list[str]) -> None:
    mended = Mended()
    pieces = [mended.mend(Text(text)) for text in texts]
    assert b"".join(piece.text.encode() for piece in pieces if isinstance(piece, Text)) is not None


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_in_halves_reaches_its_client(stream: bool) -> None:
    puppet = Puppet()
    hub = Hub([EchoBackend(), puppet])
    with routed(hub, chat_completions_router(hub)) as client:
        puppet.say(HALVES[0], HALVES[1], HALVES[0], Done("stop"))
        asked = {"model": "toy", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
        assert "😀" in client.post("/v1/chat/completions", json=asked).text
