"""The models as programs are told of them, all together and one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from backends.base import ModelInfo
from backends.echo import EchoBackend
from server.hub import Hub
from server.routes.openai_models import openai_models_router
from tests.server.doubles import Puppet
from tests.server.routed import routed


@pytest.fixture
def client() -> Iterator[TestClient]:
    hub = Hub([EchoBackend(), Puppet(ModelInfo("toy"), ModelInfo("a/b", state="failed"))])
    with routed(hub, openai_models_router(hub)) as client:
        yield client


def test_every_model_is_named_as_a_request_would(client: TestClient) -> None:
    answer = client.get("/v1/models").json()
    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]] == ["echo/echo", "puppet/toy"]
    assert all(abs(model["created"] - time.time()) < 60 for model in answer["data"])


@pytest.mark.parametrize(
    ("name", "found"), [("puppet/toy", "puppet/toy"), ("toy", "puppet/toy"), ("default", "echo/echo")]
)
def test_a_model_is_found_by_any_of_its_names(client: TestClient, name: str, found: str) -> None:
    model = client.get(f"/v1/models/{name}").json()
    assert (model["id"], model["object"]) == (found, "model")


@pytest.mark.parametrize("name", ["nobody", "puppet/a/b"])
def test_a_model_that_cannot_be_asked_is_not_found(client: TestClient, name: str) -> None:
    answer = client.get(f"/v1/models/{name}")
    assert answer.status_code == 404
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == ("model_not_found", "model")
