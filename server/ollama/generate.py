"""`/api/generate`: a text in, what follows it out. A chat of one question, or with `raw` the text as it is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from backends.base import GenerationRequest, Message
from server.hub import Hub
from server.ollama.answering import answered
from server.ollama.answers import GenerateForm
from server.ollama.asking import Asking, check_images
from server.ollama.errors import Refused
from server.ollama.names import resolve
from server.ollama.requests import GenerateRequest, read_json, read_request

ELSEWHERE = {
    "template": "A model's own template is used here. Leave template out, or set raw and write the prompt out.",
    "context": "context is not supported here. Send the conversation as messages to /api/chat.",
}


async def generate(hub: Hub, request: Request) -> Response:
    """Answer a prompt. Without one the model is only loaded, or with `keep_alive` 0 unloaded. Raises nothing."""
    return await answered(_generate(hub, request))


async def _generate(hub: Hub, request: Request) -> Response:
    asked = read_request(GenerateRequest, read_json(await request.body()))
    entry = await resolve(hub, asked.asked)
    _check(asked)
    check_images(asked.images, entry)
    asking = Asking(hub, request, entry, asked, GenerateForm(asked.asked))
    if not asked.prompt:
        return asking.load()
    if asked.raw:
        prompt = GenerationRequest("", "", prompt=asked.prompt)
    else:
        system = (Message("system", asked.system),) if asked.system else ()
        prompt = GenerationRequest("", "", messages=(*system, Message("user", asked.prompt)))
    return asking.answer(prompt)


def _check(asked: GenerateRequest) -> None:
    """Raises Refused for what nobody here can do."""
    if asked.raw and (asked.template or asked.system or asked.context):
        raise Refused("raw mode does not support template, system, or context")
    for field, sentence in ELSEWHERE.items():
        if getattr(asked, field):
            raise Refused(sentence)
    if asked.suffix:
        raise Refused(f'"{asked.asked}" does not support insert: no model here fills in between. Leave suffix out.')
