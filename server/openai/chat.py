"""`/v1/chat/completions`: what is asked for. The model answers the last message, through its chat template."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from backends.base import GenerationRequest
from server.openai.answers import Form, Head
from server.openai.chat_answers import ChatForm
from server.openai.completions import MOST_TOKENS
from server.openai.errors import BadRequest
from server.openai.messages import ChatMessage
from server.openai.requests import UNSUPPORTED, AnswerRequest
from server.openai.tools import Choice, ResponseFormat, Tool, check_names

MaxTokens = Annotated[int, Field(ge=1, le=MOST_TOKENS)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


class ChatRequest(AnswerRequest):
    """Answer a chat. Without a limit, the answer may fill what the chat leaves of the model's context.

    `user`, `metadata`, `safety_identifier` and `prompt_cache_key` are the caller's own, and change no answer.
    """

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] = Field(default_factory=list)
    tool_choice: Choice | None = None
    parallel_tool_calls: bool = True
    reasoning_effort: Effort | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] = Field(default_factory=dict)
    store: Literal[False] = False
    service_tier: Literal["auto", "default"] = "auto"
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] = Field(default_factory=list)
    safety_identifier: Annotated[str, Field(max_length=512)] | None = None
    prompt_cache_key: Annotated[str, Field(max_length=512)] | None = None

    @field_validator("store", mode="before")
    @classmethod
    def _nothing_is_stored(cls, value: object) -> object:
        if value is True:
            raise PydanticCustomError(UNSUPPORTED, "Answers of this API are not stored")
        return value

    def check(self) -> None:
        super().check()
        if self.top_logprobs is not None and not self.logprobs:
            raise BadRequest("top_logprobs: Set logprobs, too.", "top_logprobs")
        if None not in (self.max_tokens, self.max_completion_tokens) and self.max_tokens != self.max_completion_tokens:
            raise BadRequest("max_tokens: max_completion_tokens says otherwise. Leave one out.", "max_tokens")
        check_names(self.tools)
        if self.tool_choice is not None:
            self.tool_choice.check(self.tools)
        if self.response_format is not None:
            self.response_format.plain()

    def requests(self, identity: str, model: str, fairness_key: str) -> list[GenerationRequest]:
        """The one there is."""
        return [
            GenerationRequest(
                request_id=identity,
                model=model,
                messages=tuple(each.message() for each in self.messages),
                params=self.params(self.max_completion_tokens or self.max_tokens),
                think=None if self.reasoning_effort is None else self.reasoning_effort != "none",
                tools=tuple(tool.plain() for tool in self.tools),
                tool_choice=self.tool_choice.plain if self.tool_choice is not None else "auto",
                parallel_tool_calls=self.parallel_tool_calls,
                response_format=self.response_format.plain() if self.response_format is not None else None,
                n=self.n,
                logprobs=self.top_logprobs or 0 if self.logprobs else None,
                fairness_key=fairness_key,
            )
        ]

    def form(self, head: Head) -> Form:
        """Their form in chats."""
        return ChatForm(head, self.n, self.include_usage)
