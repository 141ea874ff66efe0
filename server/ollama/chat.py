"""`/api/chat` as Ollama's clients ask for it: messages in, the assistant's next one out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from backends.base import GenerationRequest, Message
from server.hub import Hub
from server.ollama.answering import answered
from server.ollama.answers import ChatForm
from server.ollama.asking import Asking, check_images
from server.ollama.names import resolve
from server.ollama.requests import ChatRequest, MessageBody, ToolCall, read_request


async def chat(hub: Hub, request: Request, body: Mapping[str, object]) -> Response:
    """Answer a chat. Without messages the model is only loaded, or with `keep_alive` 0 unloaded. Raises nothing.

    `request` has been read: `body` is its JSON.
    """
    return await answered(_chat(hub, request, body))


async def _chat(hub: Hub, request: Request, body: Mapping[str, object]) -> Response:
    asked = read_request(ChatRequest, body)
    entry = await resolve(hub, asked.asked)
    asking = Asking(hub, request, entry, asked, ChatForm(asked.asked))
    if not asked.messages:
        return asking.load()
    for message in asked.messages:
        check_images(message.images, entry)
    messages = tuple(_message(message) for message in asked.messages)
    begun = "" if asked.format or asked.tools else _begun(messages, entry.capabilities)
    prompt = GenerationRequest(
        request_id="",
        model="",
        messages=messages[:-1] if begun else messages,
        resume_text=begun,
        tools=tuple(tool.model_dump() for tool in asked.tools),
    )
    return asking.answer(prompt)


def _begun(messages: Sequence[Message], capabilities: Sequence[str]) -> str:
    """The answer's beginning, when the last message is the assistant's and the model can go on with one."""
    last = messages[-1]
    begins = last.role == "assistant" and not last.tool_calls and len(messages) > 1
    return last.content if begins and "continue" in capabilities else ""


def _message(body: MessageBody) -> Message:
    return Message(
        body.role,
        body.content,
        tool_calls=tuple(_calls(body.tool_calls)),
        tool_call_id=body.tool_call_id,
        name=body.tool_name,
    )


def _calls(calls: Sequence[ToolCall]) -> Iterator[dict[str, object]]:
    """Calls as backends take them. Older clients give them no id: their number stands in."""
    for number, call in enumerate(calls):
        yield {
            "id": call.id or f"call_{number}",
            "name": call.function.name,
            "arguments": call.function.arguments,
        }
