"""Guesses how an answer goes on from what it or its prompt has said before: prompt lookup (Saxena, 2023).

The end of a text is looked up in the text itself, and what followed there is guessed to follow again. A guess is right
when the sampler picks that very token with that position's own random number: a text is the same with guesses and
without. A right one saves a step, a wrong one costs a row of it, so guesses are made only where they are likely to pay.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from weakref import WeakKeyDictionary

from engine.sequence import Sequence
from engine.step_cost import StepCost

MAX_GUESSES = 8

_SIZES = (3, 2)  # so many tokens at the end of a text are looked up: the first size that is found counts
_LONGEST = 8  # a match of this length or more
# How likely the token after a match is right, by the length of the match, before anything is known of a text.
_PRIORS = {2: 0.25, 3: 0.5, 4: 0.6, 5: 0.7, 6: 0.8, 7: 0.85, _LONGEST: 0.9}
_PRIOR_WEIGHT = 4
_MEMORY = 20  # how many of the last tokens an estimate rests on
_HOPELESS = 0.05
_FORCED = 0.9  # that letters which have to come are cut into tokens as usual
_WORTH_IT = 0.97  # what guesses must bring the price of a token down to: they have their own small costs


class Lookup:
    """A text, what came after each of its pairs and triples the last time, and how often that came again.

    Every token that is added is held against what would have been guessed for it, whether it was or not. So what is
    learned costs no rows, and guesses begin by themselves where a text begins to repeat itself.
    Takes constant time a token, and some 500 bytes: a small part of its keys and values.
    """

    def __init__(self, tokens: SequenceOf[int]) -> None:
        self._tokens = tokens  # grows elsewhere
        self._known = len(tokens)
        self._likelihood = dict(_PRIORS)
        self._weight = dict.fromkeys(_PRIORS, _PRIOR_WEIGHT)
        self._followers: dict[tuple[int, ...], int] = {}  # the place after an n-gram, where it was said last
        for size in _SIZES:
            ngrams = zip(*(tokens[start:] for start in range(size)), strict=False)
            self._followers.update(zip(ngrams, range(size, len(tokens)), strict=False))
        self._place, self._length = self._match()

    def guess(self, room: int) -> list[tuple[int, float]]:
        """At most `room` next tokens, each with the likelihood that it and those before it are right."""
        while self._known < len(self._tokens):
            self._learn(self._tokens[self._known])
        guesses: list[tuple[int, float]] = []
        likelihood = 1.0
        for ahead in range(room if self._length else 0):
            likelihood *= self._likelihood[min(self._length + ahead, _LONGEST)]
            if likelihood < _HOPELESS:
                break
            place = self._place + ahead
            circles = place - self._known  # what is guessed may itself be what is said again
            guesses.append((guesses[circles][0] if circles >= 0 else self._tokens[place], likelihood))
        return guesses

    def _learn(self, token: int) -> None:
        right = self._length > 0 and self._tokens[self._place] == token
        if length := self._length:
            self._weight[length] = min(self._weight[length] + 1, _MEMORY)
            self._likelihood[length] += (right - self._likelihood[length]) / self._weight[length]
        for size in _SIZES:
            if self._known >= size:
                self._followers[tuple(self._tokens[self._known - size : self._known])] = self._known
        self._known += 1
        if right:
            self._place, self._length = self._place + 1, min(self._length + 1, _LONGEST)
        else:
            self._place, self._length = self._match()

    def _match(self) -> tuple[int, int]:
        """Where the end of the text goes on, and how long a piece of the end was said there; 0 for none."""
        end = self._tokens[max(0, self._known - _LONGEST) : self._known]
        for size in _SIZES:
            place = self._followers.get(tuple(end[-size:]))
            if place is not None:
                return place, self._common(end, place, size)
        return 0, 0

    def _common(self, end: SequenceOf[int], place: int, length: int) -> int:
        while length < min(len(end), place) and end[-length - 1] == self._tokens[place - length - 1]:
            length += 1
        return length


class NGramProposer:
    """Shares the rows of a step among the sequences that have something to guess."""

    def __init__(self, cost: StepCost) -> None:
        self.cost = cost
        self._lookups: WeakKeyDictionary[Sequence, Lookup] = WeakKeyDictionary()
        self._rows = 1
        self._tokens = 1.0

    def begin_step(self, rows: int) -> None:
        """A step begins in which `rows` sequences get one token each."""
        self._rows, self._tokens = rows, float(rows)

    def propose(self, sequence: Sequence, room: int) -> tuple[int, ...]:
        """At most `room` tokens that may follow those of `sequence`: so many that the step's tokens cost the least."""
        guesses = self._guesses(sequence, min(room, MAX_GUESSES))
        best, gain, expected = 0, 0.0, 0.0
        price = _WORTH_IT * self.cost(self._rows) / self._tokens
        for count, (_, likelihood) in enumerate(guesses, start=1):
            expected += likelihood
            if (now := self.cost(self._rows + count) / (self._tokens + expected)) < price:
                best, gain, price = count, expected, now
        self._rows += best
        self._tokens += gain
        return tuple(token for token, _ in guesses[:best])

    def _guesses(self, sequence: Sequence, room: int) -> list[tuple[int, float]]:
        """What the answer's form leaves no choice of, else what the text has said before."""
        forced = sequence.guide.forced()[:room] if sequence.guide is not None else ()
        if forced:
            return [(token, _FORCED**count) for count, token in enumerate(forced, start=1)]
        lookup = self._lookups.get(sequence)
        if lookup is None:
            lookup = self._lookups[sequence] = Lookup(sequence.tokens)
        return lookup.guess(room)
