"""The answers that routes write by hand: of which kinds, and how those are written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from server.openapi.bodies import JSON, Kind
from server.routes.chat import ChatAnswer

Document = dict[str, Any]

EVENTS, LINES, HTML = "text/event-stream", "application/x-ndjson", "text/html"
TEXT: Document = {"type": "string"}
NUMBER: Document = {"type": "integer", "minimum": 0}
NANOSECONDS: Document = {**NUMBER, "description": "Nanoseconds."}


def _object(required: dict[str, Document], optional: dict[str, Document] | None = None) -> Document:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _reference(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


END = {
    "done_reason": {"enum": ["stop", "length", "load", "unload"]},
    "total_duration": NANOSECONDS,
    "load_duration": NANOSECONDS,
    "prompt_eval_count": NUMBER,
    "prompt_eval_duration": NANOSECONDS,
    "eval_count": NUMBER,
    "eval_duration": NANOSECONDS,
    "logprobs": {"type": "array", "items": {"type": "object"}},
}
LINE = {"model": TEXT, "created_at": TEXT, "done": {"type": "boolean"}}
MESSAGE = _object(
    {"role": {"const": "assistant"}, "content": TEXT},
    {"thinking": TEXT, "tool_calls": {"type": "array", "items": {"type": "object"}}},
)
DETAILS = _object({"format": TEXT, "family": TEXT, "parameter_size": TEXT, "quantization_level": TEXT})
MODEL = {
    "name": TEXT,
    "model": TEXT,
    "size": NUMBER,
    "digest": TEXT,
    "details": DETAILS,
    "capabilities": {"type": "array", "items": TEXT},
}
SCHEMAS: Document = {
    "OllamaChatAnswer": _object({**LINE, "message": MESSAGE}, END),
    "OllamaGenerateAnswer": _object({**LINE, "response": TEXT}, {"thinking": TEXT, **END}),
    "OllamaPullStatus": _object({"status": TEXT}, {"digest": TEXT, "total": NUMBER, "completed": NUMBER}),
    "OllamaModelList": _object({"models": {"type": "array", "items": _object({**MODEL, "modified_at": TEXT})}}),
    "OllamaLoadedList": _object(
        {"models": {"type": "array", "items": _object({**MODEL, "expires_at": TEXT}, {"context_length": NUMBER})}}
    ),
    "OllamaModel": _object(
        {"modelfile": TEXT, "parameters": TEXT, "template": TEXT, "details": DETAILS, "model_info": {"type": "object"}}
    ),
    "OllamaVersion": _object({"version": TEXT}),
    "GeneratedToken": _object({"token": TEXT, "index": NUMBER}),
    "GeneratedEnd": _object({"done": {"const": True}, "total_tokens": NUMBER}),
    "GeneratedFailure": _object({"error": TEXT}),
}


def _events(data: Document) -> Document:
    """One of a stream's events, as OpenAPI tells of them."""
    return {"type": "object", "properties": {"event": TEXT, "id": TEXT, "retry": NUMBER, "data": data}}


def _json_events(*names: str) -> Document:
    schema = {"anyOf": [_reference(name) for name in names]}
    return _events({**TEXT, "contentMediaType": JSON, "contentSchema": schema})


@dataclass(slots=True, frozen=True)
class Answer:
    """What a route gives: in words, and the object, or the text, behind each type of content.

    `items` are the objects that a stream of a type of content consists of, which is what a schema of such a type means
    before OpenAPI 3.2. `also`: further objects as JSON.
    """

    description: str
    contents: Document
    items: Document = field(default_factory=dict)
    also: tuple[Kind, ...] = ()

    def described(self, schemas: Document) -> Document:
        """As the document has it."""
        content = {kind: {"schema": schema} for kind, schema in self.contents.items()}
        content |= {kind: {"schema": schema} for kind, schema in self.items.items()}
        if self.also:
            kinds = [kind.reference(schemas) for kind in self.also]
            content[JSON] = {"schema": {"anyOf": [*kinds, content[JSON]["schema"]]}}
        return {"description": self.description, "content": content}


def _openai(whole: str, piece: str) -> Answer:
    data = {**TEXT, "description": f"{piece} as JSON, or an error; at last [DONE]."}
    return Answer("The answer, in one piece or as a stream.", {JSON: _reference(whole)}, {EVENTS: _events(data)})


def _ollama(name: str) -> Answer:
    lines = {"anyOf": [_reference(name), _reference("Refusal")]}
    return Answer("The answer, in one piece or in lines.", {JSON: _reference(name)}, {LINES: lines})


ANSWERS: dict[tuple[str, str], Answer] = {
    ("post", "/generate"): Answer(
        "A token an event, then how many there were; or what went wrong.",
        {},
        {EVENTS: _json_events("GeneratedToken", "GeneratedEnd", "GeneratedFailure")},
    ),
    ("post", "/api/chat"): Answer(
        "For a form, a fragment with the place for the answer. For a message, the ids. For a list of messages, the "
        "answer, in one piece or in lines.",
        {HTML: TEXT, JSON: _reference("OllamaChatAnswer")},
        {LINES: {"anyOf": [_reference("OllamaChatAnswer"), _reference("Refusal")]}},
        also=(Kind(ChatAnswer),),
    ),
    ("get", "/api/stream/{session_id}"): Answer(
        "The conversation from there on, for as long as it is followed.", {}, {EVENTS: _events(TEXT)}
    ),
    ("post", "/v1/completions"): _openai("Completion", "A Completion"),
    ("post", "/v1/chat/completions"): _openai("ChatCompletion", "A chunk of a ChatCompletion"),
    ("post", "/api/generate"): _ollama("OllamaGenerateAnswer"),
    ("post", "/api/pull"): _ollama("OllamaPullStatus"),
    ("post", "/api/show"): Answer("What is known of it.", {JSON: _reference("OllamaModel")}),
    ("get", "/api/tags"): Answer("The models.", {JSON: _reference("OllamaModelList")}),
    ("get", "/api/ps"): Answer("The models in memory.", {JSON: _reference("OllamaLoadedList")}),
    ("get", "/api/version"): Answer("The version.", {JSON: _reference("OllamaVersion")}),
}
NEVER = {  # what is always refused
    ("post", "/api/embed"),
    ("delete", "/api/delete"),
    ("post", "/api/copy"),
    ("post", "/api/create"),
    ("post", "/api/push"),
    ("post", "/api/blobs/{digest}"),
}
