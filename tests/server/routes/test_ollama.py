"""Ollama's API besides chats and prompts: lists, what is known of a model, pulls, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from backends.base import BackendUnreachable, Loading, ModelInfo, ModelNotFound, Overloaded
from server.hub import Hub
from server.routes.ollama import NOT_HERE, VERSION
from tests.server.doubles import Named, Puppet
from tests.server.ollama.serving import inside, lines_of

MODELS = (
    ModelInfo(
        "toy", size=1000, quantization="Q4_1", context_length=8192, capabilities=("completion", "tools", "continue")
    ),
    ModelInfo("Big:7B", state="available", capabilities=("completion", "thinking")),
    ModelInfo("broken", state="failed", reason="It cannot be read."),
    ModelInfo("far", capabilities=("completion", "cloud")),
)


@pytest.fixture
def puppet() -> Puppet:
    return Puppet(*MODELS)


@pytest.fixture
def other() -> Named:
    return Named(ModelInfo("toy"), ModelInfo("wanted", state="available", reason="Not downloaded yet."))


@pytest.fixture
def hub_and_client(puppet: Puppet, other: Named) -> Iterator[tuple[Hub, TestClient]]:
    with inside(puppet, other) as both:
        yield both


@pytest.fixture
def client(hub_and_client: tuple[Hub, TestClient]) -> TestClient:
    return hub_and_client[1]


def names(client: TestClient, path: str) -> list[str]:
    return [model["name"] for model in client.get(path).json()["models"]]


def test_all_models_that_can_be_asked_are_listed_with_a_tag(client: TestClient) -> None:
    listed = ["puppet/toy:latest", "puppet/Big:7B", "puppet/far:latest", "other/toy:latest", "other/wanted:latest"]
    assert names(client, "/api/tags") == listed
    toy = client.get("/api/tags").json()["models"][0]
    assert (toy["model"], toy["size"], toy["capabilities"]) == ("puppet/toy:latest", 1000, ["completion", "tools"])
    assert (toy["details"]["quantization_level"], toy["details"]["context_length"]) == ("Q4_1", 8192)


def test_digests_tell_models_apart_and_stay(client: TestClient) -> None:
    first, second = (client.get("/api/tags").json()["models"] for _ in range(2))
    assert first == second
    digests = {model["digest"] for model in first}
    assert len(digests) == len(first)
    assert all(len(digest) == 64 for digest in digests)


def test_only_what_is_in_memory_is_listed_as_running(client: TestClient) -> None:
    assert names(client, "/api/ps") == ["puppet/toy:latest", "other/toy:latest"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("puppet/toy", "puppet/toy:latest"),
        ("puppet/toy:latest", "puppet/toy:latest"),
        ("Toy", "puppet/toy:latest"),
        ("toy:latest", "puppet/toy:latest"),
        ("other/TOY", "other/toy:latest"),
        ("big:7b", "puppet/Big:7B"),
        ("wanted", "other/wanted:latest"),
    ],
)
def test_a_model_is_found_by_every_name_it_has_in_ollama(client: TestClient, name: str, meant: str) -> None:
    for key in ("model", "name"):
        assert client.post("/api/show", json={key: name}).json()["modelfile"] == f"FROM {meant}\n"


@pytest.mark.parametrize("name", ["big", "toy:7b", "nobody/toy", "toy:", "puppet/", "/"])
def test_no_other_name_is_taken_for_it(client: TestClient, name: str) -> None:
    answer = client.post("/api/show", json={"model": name})
    assert (answer.status_code, answer.json()) == (404, {"error": f"model '{name}' not found"})


def test_a_model_that_came_a_moment_ago_is_found(client: TestClient, puppet: Puppet) -> None:
    puppet.models = (ModelInfo("new"),)
    assert client.post("/api/show", json={"model": "new"}).status_code == 200


def test_the_version_says_whose_api_this_is(client: TestClient) -> None:
    assert client.get("/api/version").json() == {"version": VERSION}


@pytest.mark.parametrize("path", ["/api/version", "/api/tags"])
def test_whoever_only_knocks_is_answered(client: TestClient, path: str) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


# Pulling


def test_a_model_that_is_here_needs_no_pull(client: TestClient, puppet: Puppet) -> None:
    answer = client.post("/api/pull", json={"model": "toy"})
    assert lines_of(answer.content) == [{"status": "pulling manifest"}, {"status": "success"}]
    assert client.post("/api/pull", json={"model": "toy", "stream": False}).json() == {"status": "success"}


def test_a_pull_tells_how_far_it_is(client: TestClient, other: Named) -> None:
    for step in [
        Loading("wanted", "Looking the model up"),
        Loading("wanted", "Downloading", 10, 40),
        Loading("wanted", "Downloading", 40, 40),
        Loading("wanted", "ready"),
    ]:
        other.loads.put_nowait(step)
    answer = client.post("/api/pull", json={"model": "wanted", "insecure": True})
    assert answer.headers["x-unheeded"] == "insecure"
    first, looking, *parts, last = lines_of(answer.content)
    assert (first, looking) == ({"status": "pulling manifest"}, {"status": "Looking the model up"})
    assert [(part["status"], part["completed"], part["total"]) for part in parts] == [
        ("Downloading", 10, 40),
        ("Downloading", 40, 40),
    ]
    assert len({part["digest"] for part in parts}) == 1
    assert last == {"status": "success"}


def test_a_pull_leaves_the_current_model_as_it_is(hub_and_client: tuple[Hub, TestClient], other: Named) -> None:
    hub, client = hub_and_client
    other.loads.put_nowait(Loading("wanted", "ready"))
    client.post("/api/pull", json={"model": "wanted"})
    assert hub.current == "puppet/toy"


def test_a_pull_that_fails_ends_in_a_line_that_says_why(client: TestClient, puppet: Puppet, other: Named) -> None:
    for backend in (puppet, other):
        backend.loads.put_nowait(ModelNotFound("There is no such model."))
    answer = client.post("/api/pull", json={"model": "nope"})
    assert answer.status_code == 200
    assert lines_of(answer.content) == [{"status": "pulling manifest"}, {"error": "There is no such model."}]
    other.loads.put_nowait(Overloaded("Another one is being loaded.", retry_after=3))
    answer = client.post("/api/pull", json={"model": "wanted", "stream": False})
    assert (answer.status_code, answer.json()) == (503, {"error": "Another one is being loaded."})
    assert answer.headers["retry-after"] == "3"


# Refused


@pytest.mark.parametrize(("method", "path"), NOT_HERE)
def test_what_is_not_done_here_is_refused_in_a_sentence(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, f"/api{path.format(digest='sha256:0')}", json={"model": "toy"})
    assert answer.status_code == 400
    assert answer.json() == {"error": NOT_HERE[method, path]}


def test_no_file_is_kept_by_its_digest(client: TestClient) -> None:
    assert client.head("/api/blobs/sha256:0").status_code == 404


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings"])
def test_embeddings_are_refused_clearly(client: TestClient, path: str) -> None:
    answer = client.post(path, json={"model": "toy", "input": "a", "prompt": "a"})
    assert answer.status_code == 400
    assert answer.json() == {"error": '"puppet/toy" does not support embeddings. No model here does.'}
    assert client.post(path, json={"model": "nope"}).status_code == 404


def test_a_backend_that_is_out_of_reach_has_nothing_to_list(puppet: Puppet) -> None:
    puppet.models = BackendUnreachable("Nobody is there.")
    with inside(puppet) as (_, client):
        assert names(client, "/api/tags") == []
