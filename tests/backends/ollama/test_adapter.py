"""The order of the adapter's calls, and what it makes of a server's lists: against a server that is a function."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import httpx
import pytest

from backends import create_backend
from backends.base import (
    BackendUnreachable,
    Loading,
    ModelInfo,
    ModelNotFound,
    ModelsChanged,
    Notice,
    Progress,
    Unsupported,
)
from backends.ollama import OllamaBackend
from backends.ollama.catalog import Catalog
from backends.ollama.client import OllamaClient
from backends.ollama.models import canonical
from server.hub import Hub
from tests.backends.asking import MODEL, QUESTION, ask, events_of, failure_of, loadings_of, text_of

T = TypeVar("T")
OPEN = "{{ range $i, $_ := .Messages }}{{ .Content }}{{ if not $last }}<|im_end|>{{ end }}{{ end }}"
CLOSED = "{{ range .Messages }}{{ .Content }}<|im_end|>{{ end }}"


class Server:
    """An Ollama server of some models: `asked` holds the path and body of each call."""

    def __init__(self, models: dict[str, dict[str, Any]] | None = None, loaded: tuple[str, ...] = ()) -> None:
        self.models = models if models is not None else {MODEL: {}}
        self.loaded = loaded
        self.down = False
        self.answer: dict[str, Any] = {"message": {"content": "Hi"}, "done": True}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[httpx.Headers] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused")
        body = json.loads(request.content or b"{}")
        self.asked.append((request.url.path, body))
        self.headers.append(request.headers)
        match request.url.path:
            case "/":
                return httpx.Response(200)
            case "/api/tags":
                entries = [
                    {"name": name, "digest": name, **model.get("entry", {})} for name, model in self.models.items()
                ]
                return httpx.Response(200, json={"models": entries})
            case "/api/ps":
                return httpx.Response(200, json={"models": [{"name": name} for name in self.loaded]})
            case "/api/show" if (model := self.find(body["model"])) is not None:
                return httpx.Response(200, json=model.get("show", {"capabilities": ["completion"]}))
            case "/api/chat" if self.find(body["model"]) is not None:
                return httpx.Response(200, json=self.answer)
            case _:
                return httpx.Response(404, json={"error": "not found"})

    def find(self, name: str) -> dict[str, Any] | None:
        """The model of that name, as Ollama finds it."""
        return next((model for listed, model in self.models.items() if canonical(listed) == canonical(name)), None)

    def calls(self, path: str) -> list[dict[str, Any]]:
        return [body for asked, body in self.asked if asked == path]


def run(server: Server, work: Callable[[OllamaBackend], Awaitable[T]], host: str = "there", **options: Any) -> T:
    async def main() -> T:
        backend = OllamaBackend(host, transport=httpx.MockTransport(server), **options)
        try:
            return await work(backend)
        finally:
            await backend.close()

    return asyncio.run(main())


def names(models: Any) -> list[str]:
    return [info.name for info in models]


def test_it_is_made_by_name() -> None:
    async def main() -> None:
        backend = create_backend("ollama", host="ollama:11434", model="gemma:2b", num_ctx=None)
        assert isinstance(backend, OllamaBackend)
        await backend.close()

    asyncio.run(main())


def test_nobody_at_the_usual_address_is_no_failure() -> None:
    server = Server()
    server.down = True
    assert run(server, lambda backend: backend.list_models(), host="") == []
    health = run(server, lambda backend: backend.health(), host="")
    assert not health.ok
    assert "does not run on this machine" in (health.reason or "")


def test_a_name_that_no_ollama_could_load_is_not_found() -> None:
    server = Server()
    server.down = True
    with pytest.raises(ModelNotFound, match="no model gemma"):
        run(server, lambda backend: loadings_of(backend, "gemma"), host="")


def test_nobody_at_a_configured_address_is_a_failure() -> None:
    server = Server()
    server.down = True
    with pytest.raises(BackendUnreachable, match="Nothing answers at OLLAMA_HOST"):
        run(server, lambda backend: backend.list_models())
    with pytest.raises(BackendUnreachable, match="names no port"):
        run(server, lambda backend: backend.list_models(), host="http://there")


def test_a_server_that_was_there_is_missed_when_it_goes() -> None:
    server = Server()

    async def main(backend: OllamaBackend) -> None:
        assert names(await backend.list_models()) == [MODEL]
        server.down = True
        await backend.list_models()

    with pytest.raises(BackendUnreachable):
        run(server, main, host="")


def test_the_expected_model_comes_first_and_is_listed_before_it_is_there() -> None:
    server = Server({"a:1": {}, "gemma:2b": {}, "gemma2:latest": {}})
    assert names(run(server, lambda backend: backend.list_models(), model="Gemma:2B"))[0] == "gemma:2b"
    assert names(run(server, lambda backend: backend.list_models(), model="gemma2"))[0] == "gemma2:latest"
    missing = run(server, lambda backend: backend.list_models(), model="llama3:8b")[-1]
    assert missing == ModelInfo("llama3:8b", state="available", reason="Not downloaded yet. Loading it fetches it.")


def test_a_server_without_models_is_not_healthy() -> None:
    health = run(Server({}), lambda backend: backend.health(), model="gemma:2b")
    assert not health.ok
    assert "no models yet" in (health.reason or "")


def test_a_model_is_shown_once_for_all_its_names_and_lists() -> None:
    server = Server({"a:1": {"entry": {"digest": "d"}}, "b:1": {"entry": {"digest": "d"}}, "c:1": {}})

    async def main(backend: OllamaBackend) -> list[str]:
        await backend.list_models()
        await events_of(backend, ask(model="c:1"))
        return names(await backend.list_models())

    assert run(server, main) == ["a:1", "b:1", "c:1"]
    assert len(server.calls("/api/show")) == 2


def test_a_model_that_makes_embeddings_alone_is_not_listed() -> None:
    server = Server({"nomic-embed-text": {"show": {"capabilities": ["embedding"]}}, MODEL: {}})
    assert names(run(server, lambda backend: backend.list_models())) == [MODEL]


def test_a_model_is_ready_under_the_name_it_is_listed_by() -> None:
    server = Server({"gemma:latest": {}})
    notices: list[Notice] = []

    async def main(backend: OllamaBackend) -> Loading:
        backend.notify = notices.append
        return (await loadings_of(backend, "Gemma"))[-1]

    assert run(server, main) == Loading("gemma:latest", "ready")
    assert notices == [ModelsChanged()]


def test_a_newer_list_is_believed_where_nothing_is_shown() -> None:
    server = Server({"a:1": {"entry": {"capabilities": ["completion", "tools"], "details": {"context_length": 4096}}}})

    def failing(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500) if request.url.path == "/api/show" else server(request)

    (info,) = run(failing, lambda backend: backend.list_models())  # type: ignore[arg-type]
    assert (info.capabilities, info.context_length) == (("completion", "tools"), 4096)


def test_an_answer_that_has_begun_is_the_last_message_where_the_model_goes_on_with_it() -> None:
    shown = {"capabilities": ["completion"], "template": OPEN}
    server = Server({MODEL: {"show": shown, "entry": {"capabilities": ["completion"]}}}, loaded=(MODEL,))

    async def main(backend: OllamaBackend) -> tuple[ModelInfo, str]:
        (info,) = await backend.list_models()
        return info, text_of(await events_of(backend, ask(resume_text="Well, ")))

    info, text = run(server, main)
    assert info.capabilities == ("completion", "continue")
    assert text == "Hi"
    asked = server.calls("/api/chat")[0]["messages"]
    assert asked == [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Well, "}]
    assert len(server.calls("/api/show")) == 1


def test_an_answer_that_has_begun_is_refused_where_the_model_would_begin_another() -> None:
    server = Server({MODEL: {"show": {"template": CLOSED}}}, loaded=(MODEL,))
    error = run(server, lambda backend: failure_of(backend, ask(resume_text="Well, ")))
    assert isinstance(error, Unsupported)
    assert (error.field, server.calls("/api/chat")) == ("resume_text", [])


def test_a_model_that_was_replaced_is_shown_again() -> None:
    server = Server({"a:1": {"entry": {"digest": "old"}}})

    async def main(backend: OllamaBackend) -> tuple[str, ...]:
        await backend.list_models()
        server.models["a:1"] = {"entry": {"digest": "new"}, "show": {"capabilities": ["completion", "thinking"]}}
        return (await backend.list_models())[0].capabilities

    assert run(server, main) == ("completion", "thinking")


def test_the_hub_answers_with_a_model_that_was_asked_for_by_another_name() -> None:
    server = Server({"gemma:latest": {}})

    async def main(backend: OllamaBackend) -> tuple[str, str]:
        hub = Hub([backend])
        await hub.start()
        try:
            name = await hub.load_model("Gemma")
            async with aclosing(hub.generate(ask(model=""))) as events:
                return name, text_of([event async for event in events])
        finally:
            await hub.close()

    assert run(server, main) == ("ollama/gemma:latest", "Hi")


def test_a_question_that_only_loaded_the_model_is_no_answer() -> None:
    server = Server(loaded=(MODEL,))
    server.answer = {"message": {"content": ""}, "done": True, "done_reason": "load"}
    assert "gave no answer" in run(server, lambda backend: failure_of(backend, ask())).message


def test_a_model_that_cannot_be_shown_is_still_listed_and_asked() -> None:
    server = Server()

    def failing(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500) if request.url.path == "/api/show" else server(request)

    assert names(run(failing, lambda backend: backend.list_models())) == [MODEL]  # type: ignore[arg-type]
    assert text_of(run(failing, lambda backend: events_of(backend, ask()))) == "Hi"  # type: ignore[arg-type]


def test_a_list_is_not_kept_waiting_by_slow_models() -> None:
    server = Server()

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/show":
            await asyncio.Event().wait()
        return server(request)

    async def main() -> list[str]:
        client = OllamaClient("there", connect_timeout=1, transport=httpx.MockTransport(slow))
        try:
            return names(await Catalog(client, learn_timeout=0.1).models())
        finally:
            await client.close()

    assert asyncio.run(main()) == [MODEL]


@pytest.mark.parametrize(
    ("capabilities", "asked", "sent"),
    [
        (["completion", "thinking"], None, True),
        (["completion", "thinking"], True, True),
        (["completion", "thinking"], False, False),
        (["completion"], True, None),
        (None, True, None),
    ],
)
def test_thinking_is_named_to_models_that_can(
    capabilities: list[str] | None, asked: bool | None, sent: bool | None
) -> None:
    show = {"capabilities": capabilities} if capabilities else {}
    server = Server({MODEL: {"show": show}}, loaded=(MODEL,))
    run(server, lambda backend: events_of(backend, ask(think=asked)))
    (body,) = server.calls("/api/chat")
    assert body.get("think") == sent


def test_one_context_length_goes_with_every_call_or_none_does() -> None:
    server = Server()
    run(server, lambda backend: events_of(backend, ask()), num_ctx=2048)
    assert [body["options"]["num_ctx"] for body in server.calls("/api/chat")] == [2048, 2048]
    server = Server()
    run(server, lambda backend: events_of(backend, ask()))
    assert all("num_ctx" not in body["options"] for body in server.calls("/api/chat"))


def test_a_loaded_model_is_asked_at_once_and_a_cold_one_loaded_first() -> None:
    async def asked(backend: OllamaBackend) -> list[object]:
        return [event async for event in backend.generate(ask()) if isinstance(event, Progress)]

    warm, cold = Server(loaded=(MODEL,)), Server()
    assert run(warm, asked) == []
    assert run(cold, asked) == [Progress("loading"), Progress("prefill")]
    assert [len(body["messages"]) for body in warm.calls("/api/chat")] == [1]
    assert [len(body["messages"]) for body in cold.calls("/api/chat")] == [0, 1]


def test_a_model_of_the_cloud_is_not_loaded_first() -> None:
    remote = {"remote_host": "https://cloud.example", "capabilities": ["completion"]}
    server = Server({MODEL: {"entry": remote, "show": remote}})

    async def main(backend: OllamaBackend) -> str:
        await backend.list_models()
        assert (await loadings_of(backend, MODEL))[-1].message == "ready"
        return text_of(await events_of(backend, ask()))

    assert run(server, main) == "Hi"
    assert len(server.calls("/api/chat")) == 1


def test_a_server_that_does_not_tell_what_it_has_loaded_is_asked_at_once() -> None:
    server = Server()

    def without_ps(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, text="404 page not found") if request.url.path == "/api/ps" else server(request)

    assert text_of(run(without_ps, lambda backend: events_of(backend, ask()))) == "Hi"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a b", "", "x" * 300, "http://evil.example/a"])
def test_what_is_no_name_is_never_sent(name: str) -> None:
    server = Server()
    assert isinstance(run(server, lambda backend: failure_of(backend, ask(model=name))), ModelNotFound)
    with pytest.raises(ModelNotFound):
        run(server, lambda backend: loadings_of(backend, name))
    assert all(path == "/api/tags" for path, _ in server.asked)


def test_headers_for_a_gate_go_with_every_call() -> None:
    server = Server()
    run(server, lambda backend: events_of(backend, ask()), headers={"Authorization": "Bearer key"})
    assert {headers["authorization"] for headers in server.headers} == {"Bearer key"}


def test_no_origin_is_sent_that_the_server_could_refuse() -> None:
    server = Server()
    run(server, lambda backend: events_of(backend, ask()))
    assert all("origin" not in headers for headers in server.headers)
