"""The bodies of requests that routes read by hand: of which kind, and how that is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from server.generation import GenerateRequest
from server.ollama import requests as ollama
from server.openai.chat import ChatRequest as OpenAIChatRequest
from server.openai.completions import CompletionRequest
from server.routes.chat import ChatForm, ChatRequest
from server.routes.toggle_thinking import ToggleThinking

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
OPENAI, OLLAMA = "OpenAI", "Ollama"  # before the names of their objects: ours go by the same ones
ANY_TYPE = "What the body is shows itself: its Content-Type does not count."

Document = dict[str, Any]


@dataclass(slots=True, frozen=True)
class Kind:
    """An object of a request or an answer. `family`: the API whose word its name is; empty for ours."""

    model: type[BaseModel]
    family: str = ""

    def reference(self, schemas: Document) -> Document:
        """Where it is described: in `schemas`, which it is added to with all that it refers to."""
        template = f"#/components/schemas/{self.family}{{model}}"
        schema = self.model.model_json_schema(ref_template=template)
        for name, part in schema.pop("$defs", {}).items():
            schemas.setdefault(self.family + name, part)
        name = self.model.__name__
        schemas[name if name.startswith(self.family) else self.family + name] = schema
        return {"$ref": template.format(model=name.removeprefix(self.family))}


@dataclass(slots=True, frozen=True)
class Body:
    """What a route takes: one of several objects as JSON, or one as a form."""

    json: tuple[Kind, ...]
    form: Kind | None = None

    def described(self, schemas: Document) -> Document:
        """As the document has it."""
        kinds = [kind.reference(schemas) for kind in self.json]
        content = {JSON: {"schema": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}}
        if self.form is not None:
            content[FORM] = {"schema": self.form.reference(schemas)}
        return {"required": True, "description": ANY_TYPE, "content": content}


BODIES: dict[tuple[str, str], Body] = {
    ("post", "/generate"): Body((Kind(GenerateRequest),)),
    ("post", "/api/chat"): Body((Kind(ChatRequest), Kind(ollama.ChatRequest, OLLAMA)), Kind(ChatForm)),
    ("post", "/api/toggle-thinking"): Body((Kind(ToggleThinking),), Kind(ToggleThinking)),
    ("post", "/v1/completions"): Body((Kind(CompletionRequest, OPENAI),)),
    ("post", "/v1/chat/completions"): Body((Kind(OpenAIChatRequest, OPENAI),)),
    ("post", "/api/show"): Body((Kind(ollama.ShowRequest, OLLAMA),)),
    ("post", "/api/generate"): Body((Kind(ollama.GenerateRequest, OLLAMA),)),
    ("post", "/api/pull"): Body((Kind(ollama.PullRequest, OLLAMA),)),
    ("post", "/api/embed"): Body((Kind(ollama.EmbedRequest, OLLAMA),)),
}
