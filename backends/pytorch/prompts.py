"""From a request of the backends' interface to what the engine takes: token ids, sampling parameters and a form.

To render a template, to encode a long prompt and to compile a schema takes time, so that is done on other threads than
the event loop's.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from backends.base import GenerationRequest, Unsupported
from backends.pytorch.forms import guide_for, has_form
from backends.pytorch.tools import conversation, must_call
from engine.errors import TemplateError
from engine.reports import Ready, Request
from engine.sampling_params import SamplingParams

if TYPE_CHECKING:
    from engine.guide import Guide
    from engine.tokenizer import Tokenizer

KEPT = 16


class Prompts:
    """Encodes prompts. A chat counts its prompt before it asks for the answer, so what was counted last is kept."""

    def __init__(self) -> None:
        self._counted: dict[str, tuple[object, tuple[int, ...]]] = {}
        # Of its own and alone: schemas that take long to compile hold up each other, and nobody's prompt.
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="grammar")

    async def count(self, request: GenerationRequest, engine: Ready) -> int:
        """How many tokens the prompt has. Raises Unsupported if the template refuses."""
        token_ids = await asyncio.to_thread(_encode, request, engine.tokenizer)
        self._counted[request.request_id] = _prompt(request), token_ids
        if len(self._counted) > KEPT:
            del self._counted[next(iter(self._counted))]
        return len(token_ids)

    async def prepare(self, request: GenerationRequest, engine: Ready) -> Request:
        """What the engine needs. Raises Unsupported if the template refuses, and for a form it cannot keep."""
        asked, token_ids = self._counted.pop(request.request_id, (None, ()))
        if asked != _prompt(request):
            token_ids = await asyncio.to_thread(_encode, request, engine.tokenizer)
        sampling = _sampling(request, engine, left=max(1, engine.context_length - len(token_ids)))
        return Request(
            request.request_id,
            token_ids,
            sampling,
            n=request.n,
            fairness_key=request.fairness_key,
            priority=request.priority,
            begun=request.messages is None or bool(request.resume_text),
            resumed=request.resume_token_ids,
            guide=await self._guide(request, engine),
        )

    async def _guide(self, request: GenerationRequest, engine: Ready) -> Guide | None:
        if not has_form(request):
            return None
        return await asyncio.get_running_loop().run_in_executor(self._compiler, guide_for, request, engine.grammars)


def _prompt(request: GenerationRequest) -> tuple[object, ...]:
    """What the tokens depend on, beside the moment: a template may look at the clock."""
    asked = (request.messages, request.prompt, request.token_ids)
    return (*asked, request.think, request.tools, request.tool_choice, request.resume_text)


def _sampling(request: GenerationRequest, engine: Ready, left: int) -> SamplingParams:
    params = request.params
    # A stop string of the template's could cut a document, which has an end of its own.
    ends_by_itself = request.messages is None or request.response_format is not None or must_call(request)
    return SamplingParams(
        temperature=params.temperature,
        top_k=params.top_k,
        top_p=params.top_p,
        min_p=params.min_p,
        max_tokens=left if params.max_tokens is None else params.max_tokens,
        stop=params.stop if ends_by_itself else params.stop + engine.tokenizer.stop,
        seed=params.seed,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        repeat_penalty=params.repeat_penalty,
        logit_bias=params.logit_bias,
        logprobs=request.logprobs,
    )


def _encode(request: GenerationRequest, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The prompt's tokens, and those of the answer's beginning. Raises Unsupported if the template refuses."""
    if request.messages is not None:
        messages, variables = conversation(request, tokenizer.template)
        if request.think is not None:  # templates of models that can think ask for it, others take no notice
            variables["enable_thinking"] = request.think
        try:
            ids = tokenizer.encode_chat(messages, **variables)
        except TemplateError as error:
            raise Unsupported(str(error)) from error
    elif request.token_ids is not None:
        ids = list(request.token_ids)
    else:
        ids = tokenizer.encode(request.prompt or "")
        if ids and tokenizer.add_bos and tokenizer.bos_id is not None:
            ids.insert(0, tokenizer.bos_id)
    return tuple(ids + tokenizer.encode(request.resume_text))
