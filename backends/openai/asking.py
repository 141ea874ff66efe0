"""A request in OpenAI's words, and what is left out where a server does not know them all. Does no I/O.

Only what a request asks for is said, as strict servers refuse what is not OpenAI's own. What is refused and was not
asked for, such as a default, is left out; of what was, the asker is told.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from backends.base import GenerationRequest, Message, Params, Unsupported
from backends.calls import Call
from backends.openai.models import Facts

CHAT, COMPLETIONS = "/chat/completions", "/completions"
_USUAL = Params()


@dataclass(slots=True, frozen=True)
class Field:
    """One field of the body. `asks` is the field of our request that it stands for.

    Of `names`, the first is said that the server has not refused. `needed`: the answer is another one without it.
    """

    names: tuple[str, ...]
    value: object
    asks: str
    needed: bool = True

    def name(self, refused: Collection[str]) -> str | None:
        """What it is called here; None when it is left out."""
        left = [name for name in self.names if name not in refused]
        return left[0] if left else (self.names[-1] if self.needed else None)


@dataclass(slots=True, frozen=True)
class Asking:
    """A request as it can be put to the server."""

    path: str
    body: Mapping[str, object]
    fields: tuple[Field, ...]
    request_id: str = ""

    def call(self, refused: Collection[str]) -> Call:
        """The request without what the server has `refused`, as far as that may be left out."""
        said = {name: field.value for field in self.fields if (name := field.name(refused)) is not None}
        return Call(self.path, {**self.body, **said}, self.request_id)

    def without(self, name: str, refused: Collection[str], words: str) -> frozenset[str]:
        """What is refused, now that this field is as well. Raises Unsupported for one that cannot be left out."""
        field = next(field for field in self.fields if name in field.names)
        spare = [other for other in field.names if other != name and other not in refused]
        if field.needed and not spare:
            message = f"The model server will not have {field.asks} as it was asked for: {words}."
            raise Unsupported(message, field=field.asks)
        return frozenset({*refused, name})


def check_supported(request: GenerationRequest, facts: Facts) -> None:
    """Raise Unsupported, naming the field, for what OpenAI's API has no word for, and for what cannot go together."""
    raw = request.messages is None
    refusals = {
        "n": request.n != 1,
        "resume_token_ids": bool(request.resume_token_ids),
        "diffusion": request.params.diffusion is not None,
        "tools": bool(request.tools) and raw,
        "response_format": request.response_format is not None and raw and not facts.shapes_prompts,
        "resume_text": bool(request.resume_text) and (facts.continuing is None if not raw else request.prompt is None),
    }
    for field, is_refused in refusals.items():
        if is_refused:
            message = f"Models of this server cannot be asked with {field}. Leave it out, or pick another model."
            raise Unsupported(message, field=field)


def build_asking(request: GenerationRequest, facts: Facts) -> Asking:
    """The request in OpenAI's words. Raises Unsupported."""
    check_supported(request, facts)
    fields = (*_sampling(request, facts), *_probabilities(request), *_shape(request), *_thinking(request, facts))
    options = Field(("stream_options",), {"include_usage": True}, "usage", needed=False)
    head: dict[str, object] = {"model": facts.identity, "stream": True}
    if request.messages is None:
        prompt = list(request.token_ids) if request.token_ids is not None else request.prompt or ""
        text = prompt if isinstance(prompt, list) else prompt + request.resume_text
        return Asking(COMPLETIONS, {**head, "prompt": text}, (*fields, options), request.request_id)
    turns = [_turn(message) for message in request.messages]
    begun = [{"role": "assistant", "content": request.resume_text}] if request.resume_text else []
    return Asking(CHAT, {**head, "messages": turns + begun}, (*fields, options), request.request_id)


def _turn(message: Message) -> dict[str, object]:
    turn: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["content"] = message.content or None
        turn["tool_calls"] = [_past_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        turn["name"] = message.name
    return turn


def _past_call(call: Mapping[str, object]) -> dict[str, object]:
    arguments = json.dumps(call.get("arguments", {}), ensure_ascii=False)
    return {"id": call.get("id"), "type": "function", "function": {"name": call.get("name"), "arguments": arguments}}


def _sampling(request: GenerationRequest, facts: Facts) -> Iterator[Field]:
    """The sampling parameters that differ from what a server does of itself, and those of which that is not known."""
    params = request.params
    yield Field(("temperature",), params.temperature, "temperature", params.temperature != _USUAL.temperature)
    yield Field(("top_p",), params.top_p, "top_p", params.top_p not in (_USUAL.top_p, 1.0))
    if params.top_k != _USUAL.top_k or facts.samples_further:
        needed = params.top_k not in (0, _USUAL.top_k)  # 0, all tokens, is what OpenAI itself does
        yield Field(("top_k",), params.top_k, "top_k", needed)
    if params.min_p or facts.samples_further:
        yield Field(("min_p",), params.min_p, "min_p", params.min_p > 0)
    yield from _limit(request, facts)
    spoken: dict[str, tuple[object, object]] = {  # by name: the value, and the one that says nothing
        "seed": (params.seed, None),
        "stop": (list(params.stop), []),
        "presence_penalty": (params.presence_penalty, 0.0),
        "frequency_penalty": (params.frequency_penalty, 0.0),
        "logit_bias": ({str(token): bias for token, bias in params.logit_bias}, {}),
    }
    yield from (Field((name,), value, name) for name, (value, silent) in spoken.items() if value != silent)
    if params.repeat_penalty != _USUAL.repeat_penalty:
        yield Field(facts.repeat_words, params.repeat_penalty, "repeat_penalty")


def _limit(request: GenerationRequest, facts: Facts) -> Iterator[Field]:
    """The answer's length. Without one, chats go on to their end, but raw prompts to 16 tokens: that has to be said."""
    if request.params.max_tokens is not None:
        names = ("max_tokens", "max_completion_tokens") if request.messages is not None else ("max_tokens",)
        yield Field(names, request.params.max_tokens, "max_tokens")
    elif request.messages is None:
        room = None if facts.takes_null_as_no_limit else facts.context_length
        yield Field(("max_tokens",), room, "max_tokens", needed=False)


def _probabilities(request: GenerationRequest) -> Iterator[Field]:
    if request.logprobs is None:
        return
    if request.messages is None:
        yield Field(("logprobs",), request.logprobs, "logprobs")
        return
    yield Field(("logprobs",), True, "logprobs")
    if request.logprobs:
        yield Field(("top_logprobs",), request.logprobs, "logprobs")


def _shape(request: GenerationRequest) -> Iterator[Field]:
    """The answer's form: a document, or calls of tools."""
    shape = request.response_format
    if shape is not None:
        schema = {"name": "answer", "schema": shape.get("schema", {}), "strict": True}
        is_schema = shape.get("type") == "json_schema"
        value = {"type": "json_schema", "json_schema": schema} if is_schema else shape
        yield Field(("response_format",), value, "response_format")
    if not request.tools:
        return
    yield Field(("tools",), [_tool(tool) for tool in request.tools], "tools")
    if request.tool_choice != "auto":
        named = {"type": "function", "function": {"name": request.tool_choice}}
        word = request.tool_choice in ("none", "required")
        yield Field(("tool_choice",), request.tool_choice if word else named, "tool_choice")
    if not request.parallel_tool_calls:
        yield Field(("parallel_tool_calls",), False, "parallel_tool_calls")


def _tool(tool: Mapping[str, object]) -> Mapping[str, object]:
    return tool if "function" in tool else {"type": "function", "function": tool}


def _thinking(request: GenerationRequest, facts: Facts) -> Iterator[Field]:
    """Whether to think, which is a wish, and how to go on with an answer that has begun, which is none."""
    if request.messages is None:
        return
    continuing = facts.continuing if request.resume_text else None
    yield from (Field((name,), value, "resume_text") for name, value in (continuing or {}).items())
    if request.think is None:
        return
    if "chat_template_kwargs" not in (continuing or {}):
        yield Field(("chat_template_kwargs",), {"enable_thinking": request.think}, "think", needed=False)
    yield Field(("reasoning_effort",), "medium" if request.think else "none", "think", needed=False)
