"""The texts that measurements ask with: prose that is never twice the same, cut to a number of tokens.

Built from a seed by a little grammar, so that every server and every run gets the same. A text begins with its own
number: two of them share no beginning, and no cache knows one from another.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.loader.gguf import GGUFFile
from engine.tokenizer import Tokenizer

_WHO = ("a baker", "an old sailor", "the teacher", "a young clockmaker", "my neighbour", "the gardener", "a painter")
_DID = ("walked slowly to", "had never seen", "told everybody about", "built a bridge near", "dreamed of", "left")
_WHERE = ("the harbour", "a small village", "the northern mountains", "the library", "the river", "the market square")
_WHEN = ("in the spring", "before sunrise", "after the long rain", "one evening", "when the bells rang", "that winter")
_WHY = ("because the roads were open", "to find a lost letter", "with two friends", "without a word", "for the feast")

SYSTEM = (
    "The following is a conversation between a traveller and a patient guide who knows the country well. The guide "
    "answers every question fully, in whole sentences, with reasons and with examples from history, and never hurries."
)
QUESTIONS = (
    "What should I see first when I arrive in the old town by the sea, and how long does it take on foot?",
    "Where can I learn how the ships were built in former times, and who taught the people to build them?",
    "Which road leads to the mountains, and what should I take with me if the weather changes on the way?",
    "Tell me about the market: when it is held, what is sold there, and how one speaks to the merchants.",
    "How did the people here live a hundred years ago, and what has changed since the railway was built?",
    "If I had only one day left, what would you show me from morning to evening, and why just that?",
)


@dataclass(slots=True, frozen=True)
class Arrival:
    """A request of a mixed load: when it comes, in seconds from the start, and what it wants."""

    at: float
    prompt: str
    max_tokens: int


class Prompts:
    """Texts of a known number of tokens."""

    def __init__(self, model: Path) -> None:
        """Reads the tokenizer of the GGUF file `model`, and none of its weights."""
        with GGUFFile.open(model) as file:
            self._tokenizer = Tokenizer.from_gguf(file)

    def of_length(self, tokens: int, number: int) -> str:
        """A text of `tokens` tokens; each `number` has its own."""
        ids = self._tokenizer.encode(prose(tokens, number))
        for size in range(tokens, tokens + 8):  # a cut within a word may be read as another number of tokens
            text = self._tokenizer.decode(ids[:size])
            if len(self._tokenizer.encode(text)) == tokens:
                return text
        raise ValueError(f"No beginning of text {number} is {tokens} tokens long.")

    def ids(self, tokens: int, number: int) -> list[int]:
        """The same as token ids."""
        return self._tokenizer.encode(self.of_length(tokens, number))

    def poisson(self, rate: float, seconds: float, seed: int) -> Iterator[Arrival]:
        """Requests that come at random, `rate` a second on average: short and long prompts, short and long answers."""
        rng, at = random.Random(seed), 0.0
        while (at := at + rng.expovariate(rate)) < seconds:
            prompt = self.of_length(rng.choice((32, 64, 128, 256, 512)), rng.randrange(10**9))
            yield Arrival(at, prompt, rng.choice((16, 32, 64, 96)))


def prose(words: int, number: int) -> str:
    """At least `words` words."""
    rng = random.Random(number)
    sentences = [f"{number}."]
    while sum(sentence.count(" ") + 1 for sentence in sentences) < words:
        parts = [rng.choice(choices) for choices in (_WHO, _DID, _WHERE, _WHEN, _WHY)]
        sentences.append(f"{' '.join(parts).capitalize()}.")
    return " ".join(sentences)
