"""Bodies of any form: each is answered or refused with a sentence, and none breaks anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.echo import EchoBackend
from server.ollama.options import HEEDED, NEUTRAL, UNHEEDED
from server.ollama.requests import ChatRequest, GenerateRequest
from tests.server.ollama.serving import inside

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["echo", "echo/echo:latest", "user", "json", "5m", "high", "-1"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
OPTIONS = st.dictionaries(st.sampled_from([*HEEDED, *UNHEEDED, *NEUTRAL, "other"]), VALUES, max_size=3)
MESSAGES = st.lists(
    st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "images", "thinking"]), VALUES, max_size=4),
    max_size=3,
)


def bodies(fields: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Requests to a model that there is, with fields that may be right and may be anything."""
    some = st.dictionaries(st.sampled_from(fields), VALUES, max_size=4)
    likely = st.fixed_dictionaries({"model": st.just("echo")}, optional={"options": OPTIONS, "messages": MESSAGES})
    return st.builds(lambda one, other: {**one, **other}, likely, some)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with inside(EchoBackend()) as (_, client):
        yield client


@pytest.mark.parametrize(
    ("path", "fields"), [("/api/chat", [*ChatRequest.model_fields]), ("/api/generate", [*GenerateRequest.model_fields])]
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_asked_is_answered_or_refused_in_a_sentence(
    client: TestClient, path: str, fields: list[str], data: st.DataObject
) -> None:
    body = {"messages": [], **data.draw(bodies(fields))}
    body.pop("message", None)  # says something in a conversation of ours
    answer = client.post(path, content=orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS))
    assert answer.status_code in (200, 400, 404)
    last = orjson.loads(answer.content.splitlines()[-1])
    assert last.get("done") is True or isinstance(last.get("error"), str)


@pytest.mark.parametrize("path", ["/api/generate", "/api/show", "/api/pull", "/api/embed", "/api/embeddings"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(st.binary(max_size=40), VALUES.map(orjson.dumps)))
def test_a_body_of_any_bytes_is_refused_in_a_sentence(client: TestClient, path: str, body: bytes) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]
