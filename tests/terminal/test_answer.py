"""One answer on the screen: printed once, whatever the server knows of it after a crash."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from terminal.answer import ANEW, SHORTER, Answer, figures
from terminal.conversation import Growing, Message
from terminal.frames import Failure, Timings, Usage
from terminal.screen import Screen
from tools.emulator import Emulator


class Paper:
    """A screen whose console writes into an emulator."""

    def __init__(self, columns: int = 40, rows: int = 12) -> None:
        self._file = io.StringIO()
        size = {"width": columns, "height": rows}
        console = Console(file=self._file, force_terminal=True, highlight=False, markup=False, **size)
        self.screen = Screen(console, plain=False)
        self._columns, self._rows = columns, rows

    @property
    def text(self) -> str:
        """What a person sees."""
        emulator = Emulator(self._columns, self._rows)
        emulator.feed(self._file.getvalue().replace("\n", "\r\n"))
        assert emulator.strange == []
        return emulator.text()


def message(text: str, **changes: object) -> Message:
    return Message("a", "ai", None, Growing(text), **changes)  # type: ignore[arg-type]


def show(answer: Answer, text: str) -> None:
    answer._due = 0.0  # nobody waits for the next redraw here
    answer.show(message(text), "writing")


def test_what_may_still_change_is_drawn_over_and_what_is_finished_stays() -> None:
    paper = Paper()
    answer = Answer(paper.screen, message(""))
    whole = "First *block*.\n\n- one\n- two\n\n```python\nprint(1)\n```\n\nThe last."
    for end in range(1, len(whole)):
        show(answer, whole[:end])
    assert "writing" in paper.text
    answer.close(message(whole, finish_reason="stop"))
    assert paper.text == "\nFirst block.\n\n • one\n • two\n\n print(1)\n\nThe last."


def test_an_answer_longer_than_the_window_is_whole_in_the_end() -> None:
    paper = Paper(rows=8)
    answer = Answer(paper.screen, message(""))
    code = "\n".join(f"line {number}" for number in range(60))
    for end in range(10, len(code), 10):
        show(answer, f"```\n{code[:end]}")
    answer.close(message(f"```\n{code}\n```", finish_reason="stop"))
    assert [line.strip() for line in paper.text.splitlines()[1:]] == code.splitlines()


def test_a_server_that_goes_on_from_before_prints_nothing_twice() -> None:
    paper = Paper()
    answer = Answer(paper.screen, message(""))
    show(answer, "One.\n\nTwo.\n\nThr")
    for text in ("One", "One.\n\nTw", "One.\n\nTwo.\n\nThree", "One.\n\nTwo.\n\nThree."):
        show(answer, text)
    answer.close(message("One.\n\nTwo.\n\nThree.", finish_reason="stop"))
    assert paper.text == "\nOne.\n\nTwo.\n\nThree."


def test_a_server_that_says_something_else_then_is_told_and_printed_once_more() -> None:
    paper = Paper(columns=120)
    answer = Answer(paper.screen, message(""))
    show(answer, "One.\n\nTwo.\n\nThr")
    show(answer, "One.\n\nZwei.\n\nDr")
    answer.close(message("One.\n\nZwei.\n\nDrei.", finish_reason="stop"))
    assert paper.text.endswith(f"{ANEW}\n\nOne.\n\nZwei.\n\nDrei.")


def test_a_server_that_has_lost_the_end_is_told() -> None:
    paper = Paper(columns=120)
    answer = Answer(paper.screen, message(""))
    show(answer, "One.\n\nTwo.\n\nThr")
    answer.close(message("One.\n\nT", finish_reason="cancelled"))
    assert SHORTER in paper.text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"finish_reason": "stop", "usage": Usage(completion_tokens=1)}, "1 token"),
        (
            {
                "finish_reason": "length",
                "usage": Usage(completion_tokens=2000),
                "timings": Timings(ttft_ms=1234, tokens_per_second=45.67),
            },
            "2000 tokens · 45.7 tok/s · first after 1.23 s · cut at its longest, /continue goes on",
        ),
        ({"finish_reason": "interrupted"}, "cut off as the server went down, /continue goes on"),
        ({"error": Failure(code="internal", message="x")}, ""),
    ],
)
def test_the_figures_are_a_line(changes: dict[str, object], told: str) -> None:
    assert figures(message("a", **changes)) == told
