from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from backends.base import Backend, Event, GenerationRequest, Loading, ModelInfo, ModelInvalid, ModelNotFound, Overloaded
from backends.echo import EchoBackend
from server.errors import add_error_handlers
from server.hub import Hub
from server.options import HubOptions
from server.routes.models import models_router


class Shelf(Backend):
    """Three models: one loads, one is broken, one has no room."""

    name = "shelf"

    async def list_models(self) -> Sequence[ModelInfo]:
        return [ModelInfo(name, state="available") for name in ("good", "broken", "large")]

    async def load(self, model: str) -> AsyncGenerator[Loading, None]:
        if model not in ("good", "broken", "large"):
            raise ModelNotFound(f"There is no {model} on the shelf.")
        yield Loading(model, "reading", 1, 2)
        if model == "broken":
            raise ModelInvalid("The file is cut short.")
        if model == "large":
            raise Overloaded("Engine overloaded.", retry_after=7)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        raise AssertionError("Nobody asks this one.")
        yield


@pytest.fixture
def client() -> Iterator[TestClient]:
    hub = Hub([EchoBackend(), Shelf()], HubOptions(max_tokens=123))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        await hub.start()
        yield
        await hub.close()

    app = FastAPI(lifespan=lifespan)
    app.include_router(models_router(hub))
    add_error_handlers(app)
    with TestClient(app) as client:
        yield client


def test_the_list_is_flat_and_in_order_of_preference(client: TestClient) -> None:
    answer = client.get("/api/models").json()
    assert (answer["current"], answer["max_tokens"]) == ("echo/echo", 123)
    assert [model["name"] for model in answer["models"]] == ["echo/echo", "shelf/good", "shelf/broken", "shelf/large"]
    assert answer["models"][0]["state"] == "ready"
    assert "reason" not in answer["models"][0]


@pytest.mark.parametrize("asked", ["shelf/good", "good"])
def test_a_loaded_model_becomes_current(client: TestClient, asked: str) -> None:
    answer = client.post("/api/models/load", json={"model": asked})
    assert (answer.status_code, answer.json()) == (200, {"success": True, "model": "shelf/good"})
    assert client.get("/api/models").json()["current"] == "shelf/good"


@pytest.mark.parametrize(
    ("model", "status", "sentence"),
    [
        ("shelf/broken", 422, "The file is cut short."),
        ("shelf/large", 503, "Engine overloaded."),
        ("nowhere/at-all", 404, "nowhere/at-all"),
        ("../../etc/passwd", 404, "passwd"),
    ],
)
def test_a_failed_load_says_why_and_leaves_the_old_model(
    client: TestClient, model: str, status: int, sentence: str
) -> None:
    answer = client.post("/api/models/load", json={"model": model})
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert sentence in answer.json()["error"]
    assert client.get("/api/models").json()["current"] == "echo/echo"


def test_no_room_says_when_to_come_back(client: TestClient) -> None:
    assert client.post("/api/models/load", json={"model": "large"}).headers["retry-after"] == "7"


@pytest.mark.parametrize("body", [{}, {"model": ""}, {"model": 3}, {"model": "x" * 300}, []])
def test_a_bad_body_is_named(client: TestClient, body: object) -> None:
    answer = client.post("/api/models/load", json=body)
    assert answer.status_code == 422
    assert answer.json()["success"] is False
    assert answer.json()["error"]


def test_a_body_that_is_not_json_is_refused(client: TestClient) -> None:
    assert client.post("/api/models/load", content="{", headers={"content-type": "application/json"}).status_code == 422
    assert client.post("/api/models/load", content='{"model":"good"}').status_code in (415, 422)
    assert client.get("/api/models").json()["current"] == "echo/echo"
