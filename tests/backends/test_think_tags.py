from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.base import Reasoning, Text
from backends.think_tags import ThinkTagSplitter

# Text in which tags, parts of tags and white space are likely.
words = st.lists(
    st.sampled_from(["<think>", "</think>", "<th", "ink>", "</", "<", ">", " ", "\n", "a", "é🦙"]), max_size=14
)


def split(pieces: list[str]) -> tuple[str, str]:
    splitter = ThinkTagSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)] + list(splitter.finish())
    assert all(event.text for event in events), "an event without text says nothing"
    kinds = [type(event) for event in events]
    assert kinds == sorted(kinds, key=lambda kind: kind is Text), "thinking comes before the answer"
    reasoning = "".join(event.text for event in events if isinstance(event, Reasoning))
    return reasoning, "".join(event.text for event in events if isinstance(event, Text))


@given(words, st.lists(st.integers(min_value=0, max_value=80), max_size=10))
@example(["<think>", "a", "</think>", "b"], list(range(40)))
def test_any_cut_of_the_text_gives_the_same_split(words: list[str], cuts: list[int]) -> None:
    text = "".join(words)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert split([text[start:end] for start, end in pairwise(edges)]) == split([text])


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>Let me see.</think>Paris.", "Let me see.", "Paris."),
        ("\n <think>\nLet me\n\nsee.\n</think>\n\nParis. ", "Let me\n\nsee.", "Paris. "),
        ("<think>\n\n</think>\n\nParis.", "", "Paris."),
        ("<think>never closed", "never closed", ""),
        ("<think>half </thi", "half </thi", ""),
        ("Paris.", "", "Paris."),
        ("  Paris.", "", "  Paris."),
        (" \n", "", " \n"),
        ("The tag <think>x</think> marks thinking.", "", "The tag <think>x</think> marks thinking."),
        ("<thinking>aloud", "", "<thinking>aloud"),
        ("<thi", "", "<thi"),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
        ("<think>a < b </ c</think>d", "a < b </ c", "d"),
        ("", "", ""),
    ],
)
def test_thinking_and_answer_are_told_apart(text: str, reasoning: str, answer: str) -> None:
    assert split(list(text)) == (reasoning, answer)


def test_pieces_are_handed_on_as_they_come() -> None:
    splitter = ThinkTagSplitter()
    assert list(splitter.feed("<think>Let me")) == [Reasoning("Let me")]
    assert list(splitter.feed(" see.")) == [Reasoning(" see.")]
    assert list(splitter.feed("</think>")) == []
    assert list(splitter.feed("Par")) == [Text("Par")]
    assert list(splitter.feed("is <think>.")) == [Text("is <think>.")]
