"""Examples of what each route takes and gives. A test asks for every one of them, and reads every answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from server.openapi import samples
from server.openapi.samples import ANSWER, MODEL, SAID, SESSION, SESSION_LINE, USER, WHEN

Document = dict[str, Any]

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
EVENTS, LINES = "text/event-stream", "application/x-ndjson"
ZIP = "application/zip"
HTML, MARKDOWN, PROMETHEUS = "text/html", "text/markdown", "text/plain; version=1.0.0; charset=utf-8"

PARAMETERS: dict[str, object] = {
    "session_id": SESSION,
    "name": MODEL,
    "id": f"cmpl-{ANSWER}",
    "digest": "sha256:2288bf9fd1be4ca66298b8b59e18b4c0bf15cb32c4aeed2644b4403146936996",
    "q": "tea",
}


@dataclass(slots=True, frozen=True)
class Example:
    """What may be given, by its type of content; and what may be asked: JSON, by what it is for, and other types."""

    told: dict[str, object] = field(default_factory=dict)
    asked: dict[str, object] = field(default_factory=dict)
    other: dict[str, object] = field(default_factory=dict)

    def put_into(self, operation: Document) -> None:
        """Put them in their places in an operation of the document."""
        content = operation.get("requestBody", {}).get("content", {})
        if self.asked:
            content[JSON]["examples"] = {name: {"value": value} for name, value in self.asked.items()}
        for kind, value in self.other.items():
            content[kind]["example"] = value
        for kind, value in self.told.items():
            operation["responses"]["200"]["content"][kind]["example"] = value


EXAMPLES: dict[tuple[str, str], Example] = {
    ("get", "/health"): Example({JSON: samples.HEALTH}),
    ("get", "/health/ready"): Example({JSON: {"status": "ready"}}),
    ("get", "/health/live"): Example({JSON: {"status": "alive"}}),
    ("get", "/version"): Example({JSON: {"version": "0.1.0", "protocol": 1}}),
    ("get", "/metrics"): Example({PROMETHEUS: samples.MEASURES}),
    ("get", "/api/me"): Example({JSON: {"authentication": False, "admin": True}}),
    ("post", "/api/login"): Example({JSON: samples.ME}, {"a key": {"key": "sk-switchboard-…"}}),
    ("post", "/api/ws-ticket"): Example({JSON: {"ticket": "b0c7…", "expires_in": 30}}),
    ("get", "/api/engine"): Example({JSON: {"engines": []}}),
    ("get", "/test-sse"): Example(
        {
            HTML: "<!doctype html>…",
            EVENTS: 'event: tick\ndata: {"number":1,"of":15,"sent":0}\n\nevent: complete\ndata: 15\n\n',
        }
    ),
    ("post", "/generate"): Example(
        {
            EVENTS: 'data: {"token":" Paris","index":0}\n\ndata: {"token":".","index":1}\n\n'
            'data: {"done":true,"total_tokens":2}\n\n'
        },
        {
            "a prompt": {"prompt": "what is a large language model?"},
            "a model, and how to sample": {
                "prompt": "The capital of France is",
                "model": "default",
                "params": {"max_tokens": 2, "temperature": 0},
            },
        },
    ),
    ("post", "/api/chat"): Example(
        {
            HTML: f'<div class="message user">…</div>\n<div class="message assistant" id="msg-{ANSWER}">…</div>\n',
            JSON: {"success": True, "session_id": SESSION, "message_id": ANSWER, "user_id": USER},
            LINES: f'{{"model":"{MODEL}","created_at":"{WHEN}",'
            '"message":{"role":"assistant","content":"Paris"},"done":false}\n',
        },
        {
            "begin a conversation": {"message": "Hello"},
            "go on with one": {"message": "And then?", "session_id": "tab-1"},
            "a quotation": {"message": "/quote"},
            "as Ollama's clients ask": {"model": MODEL, "messages": SAID, "stream": False},
        },
        other={FORM: {"session_id": "tab-1", "message": "Hello"}},
    ),
    ("post", "/api/toggle-thinking"): Example(
        {JSON: {"success": True, "session_id": SESSION, "enabled": False}},
        {"to the other": {"session_id": "tab-1"}, "off": {"session_id": "tab-1", "enabled": False}},
        other={FORM: {"session_id": "tab-1", "enabled": "true"}},
    ),
    ("get", "/api/stream/{session_id}"): Example(
        {
            EVENTS: f"retry: 1000\n\nevent: message\nid: 8d3f:4\ndata: {ANSWER}|Paris\n\n"
            f"event: complete\nid: 8d3f:5\ndata: {ANSWER}\n\n",
        }
    ),
    ("get", "/api/models"): Example({JSON: {"current": MODEL, "max_tokens": 200, "models": [samples.MODEL_LINE]}}),
    ("post", "/api/models/load"): Example({JSON: {"success": True, "model": MODEL}}, {"by its name": {"model": MODEL}}),
    ("get", "/api/sessions"): Example({JSON: {"sessions": [SESSION_LINE], "next": None}}),
    ("get", "/api/sessions/{session_id}"): Example({JSON: samples.EXPORTED}),
    ("get", "/api/sessions/{session_id}/export"): Example({JSON: samples.EXPORTED, MARKDOWN: samples.TRANSCRIPT}),
    ("get", "/api/export"): Example(
        {JSON: samples.EXPORTED, "application/zip": "a file of Markdown for each conversation"}
    ),
    ("post", "/api/import"): Example(
        asked={"what was exported": samples.EXPORTED}, other={ZIP: "the bytes of an archive"}
    ),
    ("patch", "/api/sessions/{session_id}"): Example({JSON: SESSION_LINE}, {"both": {"title": "Tea", "pinned": True}}),
    ("post", "/api/sessions/{session_id}/restore"): Example({JSON: SESSION_LINE}),
    ("post", "/v1/completions"): Example(
        {
            JSON: samples.COMPLETION,
            EVENTS: 'data: {"id":"cmpl-…","object":"text_completion",…}\n\ndata: [DONE]\n\n',
        },
        {"a prompt": {"prompt": "The capital of France is", "max_tokens": 2, "temperature": 0}},
    ),
    ("post", "/v1/chat/completions"): Example(
        {
            JSON: samples.CHAT_COMPLETION,
            EVENTS: 'data: {"id":"chatcmpl-…","object":"chat.completion.chunk",…}\n\ndata: [DONE]\n\n',
        },
        {
            "a question": {"model": "default", "messages": SAID, "max_tokens": 8},
            "as a stream": {"messages": SAID, "max_tokens": 8, "stream": True},
        },
    ),
    ("get", "/v1/models"): Example(
        {
            JSON: {
                "object": "list",
                "data": [{"id": MODEL, "object": "model", "created": 1795280191, "owned_by": "pytorch"}],
            }
        }
    ),
    ("get", "/v1/models/{name}"): Example({JSON: samples.OPENAI_MODEL}),
    ("get", "/v1/engine/health"): Example({JSON: {"status": "healthy", "state": "ready", "model": MODEL}}),
    ("get", "/v1/engine/stats"): Example(
        {JSON: {"requests_processed": 12, "tokens_generated": 340, "active_requests": 0, "engines": []}}
    ),
    ("delete", "/v1/requests/{id}"): Example({JSON: {"id": f"cmpl-{ANSWER}", "object": "request", "cancelled": True}}),
    ("get", "/api/version"): Example({JSON: {"version": "0.12.11-switchboard"}}),
    ("get", "/api/tags"): Example({JSON: {"models": [{**samples.OLLAMA_MODEL, "modified_at": WHEN}]}}),
    ("get", "/api/ps"): Example(
        {JSON: {"models": [{**samples.OLLAMA_MODEL, "expires_at": WHEN, "context_length": 8192}]}}
    ),
    ("post", "/api/show"): Example(
        {JSON: samples.SHOWN},
        {"a model": {"model": MODEL}},
    ),
    ("post", "/api/generate"): Example(
        {
            JSON: samples.GENERATED,
            LINES: f'{{"model":"{MODEL}","created_at":"{WHEN}","response":"Paris","done":false}}\n',
        },
        {"a prompt": {"model": MODEL, "prompt": "What is the capital of France?", "stream": False}},
    ),
    ("post", "/api/pull"): Example(
        {JSON: {"status": "success"}, LINES: '{"status":"pulling manifest"}\n{"status":"success"}\n'},
        {"a model": {"model": MODEL, "stream": False}},
    ),
    ("post", "/api/embed"): Example(asked={"refused": {"model": MODEL, "input": "tea"}}),
}
