"""What is asked and what is counted when a server is killed again and again. Knows nothing of servers and sockets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from difflib import SequenceMatcher


@dataclass(slots=True, frozen=True)
class Question:
    """What is asked, and how the answer is sampled."""

    message: str
    params: dict[str, object] = field(hash=False)


@dataclass(slots=True, frozen=True)
class Undisturbed:
    """The answer as it is when nothing happens."""

    text: str
    tokens: int
    reason: str


Script = tuple[Question, Question]


@dataclass(slots=True, frozen=True)
class Known:
    """The undisturbed answers to a script: to its questions one after the other, and to the first when continued."""

    first: Undisturbed
    second: Undisturbed
    continued: Undisturbed


@dataclass(slots=True)
class Tally:
    """What came of it. Characters are counted against the undisturbed answers."""

    kills: Counter[str] = field(default_factory=Counter)  # by the moment
    continued: int = 0  # kills after which the same answer went on to its own end
    lost: int = 0
    doubled: int = 0
    changed: int = 0
    differences: list[str] = field(default_factory=list)  # in sentences
    back_s: list[float] = field(default_factory=list)  # from a kill to the first new text

    @property
    def clean(self) -> bool:
        """Whether nobody can tell."""
        return not (self.differences or self.lost or self.doubled or self.changed)

    def compare(self, text: str, whole: str) -> None:
        """Count the characters by which `text` differs from `whole`."""
        for kind, start, stop, first, last in SequenceMatcher(None, whole, text, autojunk=False).get_opcodes():
            self.lost += stop - start if kind == "delete" else 0
            self.doubled += last - first if kind == "insert" else 0
            self.changed += max(stop - start, last - first) if kind == "replace" else 0


def questions(max_tokens: int) -> list[Question]:
    """Asked by turns: the likeliest answer, and one that chance decides."""
    greedy: dict[str, object] = {"temperature": 0, "max_tokens": max_tokens}
    topics = ("a lighthouse keeper", "how bread is made", "the rivers of Europe", "a robot that learns to paint")
    return [
        Question(
            f"Write a long text about {topic}.",
            greedy if number % 2 == 0 else {"temperature": 0.8, "seed": 1000 + number, "max_tokens": max_tokens + 50},
        )
        for number, topic in enumerate(topics)
    ]


def show(tally: Tally) -> None:
    """Print the figures."""
    back = sorted(tally.back_s)
    print(f"kills                {tally.kills.total()}   ({', '.join(f'{n} {m}' for m, n in tally.kills.items())})")
    print(f"continued            {tally.continued}")
    print(f"characters           {tally.lost} lost, {tally.doubled} doubled, {tally.changed} changed")
    print(f"from kill to text    p50 {back[len(back) // 2]:.1f} s, p99 {back[int(len(back) * 0.99)]:.1f} s")
    for difference in tally.differences:
        print(difference)
