import asyncio
import time

from fastapi import FastAPI
from fastapi.testclient import TestClient

from backends.echo import EchoBackend
from server.hub import Hub
from server.routes.openai_models import openai_models_router
from tests.server.doubles import Puppet


def test_every_model_is_named_as_a_request_would() -> None:
    async def hub() -> Hub:
        started = Hub([EchoBackend(), Puppet()])
        await started.start()
        return started

    app = FastAPI()
    app.include_router(openai_models_router(asyncio.run(hub())))
    answer = TestClient(app).get("/v1/models").json()
    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]] == ["echo/echo", "puppet/toy"]
    assert all(abs(model["created"] - time.time()) < 60 for model in answer["data"])
