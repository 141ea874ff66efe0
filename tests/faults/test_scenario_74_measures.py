"""What anybody may read of the server tells nothing of those who use it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from server.protocol.codes import ErrorCode
from tests.server.serving import joined

SECRET = "the-secret-of-this-prompt"
MADE_UP = [f"made-up/{number}" for number in range(50)] + ['"} evil 1\n', "../../etc/passwd", "x" * 200]
PUBLIC = ("/metrics", "/health", "/health/live", "/health/ready", "/version")


def labels_of(text: str) -> dict[str, set[str]]:
    """Every value that each label of ours has."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for name, value in sample.labels.items():
                found.setdefault(name, set()).add(value)
    return found


def test_74_no_prompt_no_conversation_and_no_path_is_told_to_those_who_watch(serve: Callable[..., str]) -> None:
    address = serve()

    async def scenario() -> list[str]:
        async with joined(address.replace("http", "ws") + "/ws") as client:
            await client.send(json.dumps({"message": SECRET, "cmd_id": "a-command-of-mine"}))
            answer = await client.until("ai")
            return [client.session, client.epoch, str(answer["id"])]

    private = [*asyncio.run(scenario()), SECRET, "a-command-of-mine", "models/", ".gguf", "/home", "/root", "/tmp"]
    for path in PUBLIC:
        told = httpx.get(address + path).text
        assert not [word for word in private if word in told], path


def test_74_a_name_that_a_client_makes_up_never_becomes_a_label(serve: Callable[..., str]) -> None:
    with httpx.Client(base_url=serve()) as client:
        for name in MADE_UP:
            body = {"model": name, "prompt": "Hi", "max_tokens": 1}
            assert client.post("/v1/completions", json=body).status_code in (400, 404)
            client.request("BREW", f"/{name.strip()[:20]}")
        client.post("/v1/completions", json={"prompt": "Hi", "max_tokens": 1})
        labels = labels_of(client.get("/metrics").text)
    assert set(labels) <= {"model_name", "le", "finished_reason", "code", "status", "version"}
    assert labels["model_name"] <= {"echo/echo", "none"}
    assert labels.get("code", set()) <= set(ErrorCode.__args__)
    assert labels["status"] <= {"200", "400", "404", "405"}
