"""What is measured of all answers, chats' and stateless calls' alike, by the model that gave them.

Told of every event as it passes, so it does as little as it can. Knows nothing of Prometheus' names, or of backends.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from backends.base import Done, Event, Reasoning, Text, Timings, Usage
from server.clock import Clock
from server.measures.distribution import Distribution

NO_MODEL = "none"  # of what failed before there was one
OTHERS = "other"  # of models that came after too many others
MAX_MODELS = 100
SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)


def _seconds() -> Distribution:
    return Distribution(SECONDS)


def _tokens() -> Distribution:
    return Distribution(TOKENS)


@dataclass(slots=True)
class ModelMeasures:
    """One model's answers. Times are in seconds, as the hub sees them: from the request on, not from the engine on.

    `finished` counts choices by their finish reason, `failed` answers by the word for why. An answer whose client left,
    or that was stopped, is among `cancelled`; of its times the first token's and those between tokens count.
    """

    active: int = 0
    finished: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    cancelled: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    first_token: Distribution = field(default_factory=_seconds)
    between_tokens: Distribution = field(default_factory=_seconds)
    per_token: Distribution = field(default_factory=_seconds)  # the mean of an answer
    queued: Distribution = field(default_factory=_seconds)
    whole: Distribution = field(default_factory=_seconds)
    prompt_lengths: Distribution = field(default_factory=_tokens)
    answer_lengths: Distribution = field(default_factory=_tokens)


class AnswerMeasures:
    """The measures of every model. Their names come from the list of models, never from a client."""

    def __init__(self, clock: Clock) -> None:
        self.begun = 0
        self.models: dict[str, ModelMeasures] = {}
        self._clock = clock

    def began(self) -> Watch:
        """An answer is asked for, and its model not yet known."""
        self.begun += 1
        return Watch(self, self._clock)

    def of(self, model: str) -> ModelMeasures:
        """Those of `model`, which the list has."""
        if model not in self.models and len(self.models) >= MAX_MODELS:
            model = OTHERS
        return self.models.setdefault(model, ModelMeasures())


@dataclass(slots=True)
class Choice:
    """One of an answer's choices: when its first and its last token came, and how many there were."""

    first: float
    last: float
    tokens: int


class Watch:
    """Follows one answer, of one or several choices."""

    def __init__(self, measures: AnswerMeasures, clock: Clock) -> None:
        self._all = measures
        self._model: ModelMeasures | None = None
        self._clock = clock
        self._began = clock.now()
        self._choices: dict[int, Choice] = {}
        self._finished = 0
        self._failure: str | None = None

    def answers(self, model: str) -> None:
        """`model`, by its full name in the list, is the one that answers."""
        self._model = self._all.of(model)
        self._model.active += 1

    def saw(self, event: Event) -> None:
        """The answer goes on."""
        if isinstance(event, (Text, Reasoning)):
            tokens, now = len(event.token_ids) or 1, self._clock.now()
            choice = self._choices.get(event.index)
            if choice is None:
                self._begin(event.index, tokens, now)
                return
            assert self._model is not None
            self._model.between_tokens.add((now - choice.last) / tokens, tokens)
            choice.last = now
            choice.tokens += tokens
        elif isinstance(event, Done):
            self._done(event)

    def failed(self, code: str) -> None:
        """It came to nothing, and the word for why."""
        self._failure = code

    def ended(self) -> None:
        """It is over, one way or another."""
        model = self._model or self._all.of(NO_MODEL)
        model.active -= self._model is not None
        model.generated_tokens += sum(choice.tokens for choice in self._choices.values())
        if self._failure is not None:
            model.failed[self._failure] += 1
        elif not self._finished:
            model.cancelled += 1

    def _begin(self, index: int, tokens: int, now: float) -> None:
        assert self._model is not None
        if not self._choices:
            self._model.first_token.add(now - self._began)
        self._choices[index] = Choice(now, now, tokens)

    def _done(self, done: Done) -> None:
        assert self._model is not None
        model, now = self._model, self._clock.now()
        choice = self._choices.setdefault(done.index, Choice(now, now, 0))
        choice.tokens = done.usage.completion_tokens or choice.tokens
        model.finished[done.finish_reason] += 1
        model.answer_lengths.add(choice.tokens)
        if choice.last > choice.first and choice.tokens > 1:  # what is thought is no token to every backend
            model.per_token.add((choice.last - choice.first) / (choice.tokens - 1))
        model.whole.add(now - self._began)
        self._finished += 1
        if self._finished == 1:
            self._asked(model, done.usage, done.timings)

    def _asked(self, model: ModelMeasures, usage: Usage, timings: Timings) -> None:
        """What all choices have in common."""
        model.prompt_tokens += usage.prompt_tokens
        model.prompt_lengths.add(usage.prompt_tokens)
        if timings.queued_ms is not None:
            model.queued.add(timings.queued_ms / 1000)
