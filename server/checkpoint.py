"""An answer that is not done, as it is kept: all it takes to go on with it in another life of the server.

Knows values only. The text so far and its tokens are kept beside it, piece by piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from backends.base import Done, GenerationRequest, Message, Params, Timings, Usage
from server.history.records import RunRecord, Stored
from server.prompt import Prompt
from server.protocol import ChatParams

MAX_ATTEMPTS = 5  # without any progress: whoever asks for this brings the server down


@dataclass(slots=True, frozen=True)
class Asked:
    """What a backend was asked, how that is told to people, and how many tokens the prompt has."""

    request: GenerationRequest
    params: ChatParams
    prompt_tokens: int


@dataclass(slots=True, frozen=True)
class Checkpoint:
    """Where an answer stands. `asked`: None until the request is made. `token_ids`: sampled so far.

    `pieces` are stored of it by now; `attempts` is how often it was begun since there was any progress. `done`: all of
    it is stored, and only its end has not been told.
    """

    prompt: Prompt
    model: str
    asked: Asked | None = None
    token_ids: tuple[int, ...] = ()
    pieces: int = 0
    attempts: int = 1
    done: Done | None = None

    @property
    def hopeless(self) -> bool:
        """It was tried again and again, and nothing came of it."""
        return self.attempts > MAX_ATTEMPTS

    def record(self) -> RunRecord:
        """As the history keeps it."""
        asked = None if self.asked is None else _dump(self.asked)
        done = None if self.done is None else asdict(self.done)
        request = {
            "prompt": self.prompt.dump(),
            "model": self.model,
            "asked": asked,
            "pieces": self.pieces,
            "done": done,
        }
        return RunRecord(self.prompt.run, request, self.attempts)

    @classmethod
    def load(cls, stored: Stored) -> Checkpoint | None:
        """Where the unfinished answer of a conversation stands now that it is to be begun once more, if it has one."""
        if stored.run is None:
            return None
        request, pieces = stored.run.request, len(stored.pieces)
        return cls(
            prompt=Prompt.load(request["prompt"]),
            model=request["model"],
            asked=None if request["asked"] is None else _load(request["asked"], stored.run.id),
            token_ids=tuple(token for piece in stored.pieces for token in piece.token_ids),
            pieces=pieces,
            attempts=stored.run.attempts + 1 if pieces == request["pieces"] else 1,
            done=None if request["done"] is None else _load_done(request["done"]),
        )


def _dump(asked: Asked) -> dict[str, Any]:
    request = asked.request
    return {
        "model": request.model,
        "messages": [[message.role, message.content] for message in request.messages or ()],
        "sampling": asdict(request.params),
        "think": request.think,
        "resume_text": request.resume_text,
        "fairness_key": request.fairness_key,
        "params": asked.params.model_dump(exclude_none=True),
        "prompt_tokens": asked.prompt_tokens,
    }


def _load_done(data: Mapping[str, Any]) -> Done:
    return Done(data["finish_reason"], Usage(**data["usage"]), Timings(**data["timings"]))


def _load(data: Mapping[str, Any], request_id: str) -> Asked:
    sampling = Params(**data["sampling"])
    request = GenerationRequest(
        request_id=request_id,
        model=data["model"],
        messages=tuple(Message(role, content) for role, content in data["messages"]),
        params=replace(sampling, stop=tuple(sampling.stop)),
        think=data["think"],
        resume_text=data["resume_text"],
        fairness_key=data["fairness_key"],
    )
    return Asked(request, ChatParams.model_validate(data["params"]), data["prompt_tokens"])
