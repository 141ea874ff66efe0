"""From a prompt in a conversation to a request that a backend understands.

Merges what the client asked for with the chat's defaults, and fits the conversation into what the model can read. Knows
nothing of sessions or runs.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from backends.base import Backend, GenerationRequest, Message, ModelInfo, Params, TokenCount
from server.checkpoint import Asked
from server.context import Turn, fit
from server.options import HubOptions
from server.protocol import ChatParams


@dataclass(slots=True, frozen=True)
class Question:
    """What is asked of a model: the conversation so far, the new message, and how to answer it."""

    request_id: str
    history: list[Turn]
    message: str
    params: ChatParams | None
    think: bool | None
    fairness_key: str
    resume_text: str = ""  # the answer's beginning, which is there already


@dataclass(slots=True, frozen=True)
class Prepared:
    """What to ask, and which messages did not fit."""

    asked: Asked
    dropped: tuple[str, ...]


async def prepare(question: Question, backend: Backend, info: ModelInfo, options: HubOptions) -> Prepared:
    """Build the request that `backend` answers the question by."""
    params = _params(question.params, options.max_tokens, info.temperature)
    asked_system = question.params.system if question.params is not None else None
    system = options.system_prompt if asked_system is None else asked_system
    request = GenerationRequest(
        request_id=question.request_id,
        model=info.name,
        params=params,
        think=question.think,
        resume_text=question.resume_text,
        fairness_key=question.fairness_key,
    )

    async def count(messages: tuple[Message, ...]) -> TokenCount:
        return await backend.count_tokens(replace(request, messages=messages))

    context = await fit(system, question.history, question.message, _room(info, params), count)
    asked = Asked(
        request=replace(request, model=f"{backend.name}/{info.name}", messages=context.messages),
        params=_record(params, asked_system),
        prompt_tokens=context.count.n if context.count is not None else 0,
    )
    return Prepared(asked, context.dropped)


def _room(info: ModelInfo, params: Params) -> int | None:
    """Tokens the prompt may take. An answer claims half of the context at most, or it would cost the whole history."""
    if info.context_length is None:
        return None
    return info.context_length - min(params.max_tokens or 0, info.context_length // 2)


def _params(asked: ChatParams | None, max_tokens: int, temperature: float | None) -> Params:
    """The chat's defaults, in their place what the model's makers advise, and in its place what was asked for.

    There is always a seed: with it, an answer that was cut goes on as it would have.
    """
    advised = {} if temperature is None else {"temperature": temperature}
    given = asked.model_dump(exclude_none=True, exclude={"system"}) if asked is not None else {}
    if "stop" in given:
        given["stop"] = tuple(given["stop"])
    return Params(**{"max_tokens": max_tokens, "seed": secrets.randbelow(2**31), **advised, **given})


def _record(params: Params, system: str | None) -> ChatParams:
    return ChatParams(
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        min_p=params.min_p,
        max_tokens=params.max_tokens,
        stop=list(params.stop) or None,
        seed=params.seed,
        system=system,
        diffusion=params.diffusion,
    )
