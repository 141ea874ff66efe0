"""Our answers beside those that real Ollama servers gave: the same keys, with values of the same types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson
import pytest
from fastapi.testclient import TestClient

from backends.base import BackendFailed, Done, Event, Loading, ModelInfo, Reasoning, ToolCalls, Usage
from tests.backends.ollama.double import trace
from tests.server.doubles import Puppet
from tests.server.ollama.serving import inside, lines_of

TOY = ModelInfo("toy", size=98_363_007, quantization="Q4_1", context_length=8192, capabilities=("completion",))
DONE = Done("stop", Usage(prompt_tokens=9, completion_tokens=2))
CHAT = {"model": "toy", "messages": [{"role": "user", "content": "Hi"}]}
CALL = {"id": "call_1", "name": "get_weather", "arguments": {"city": "Paris"}}
VERSIONS = pytest.mark.parametrize("version", ["v0.5.4", "v0.9.3"])


@pytest.fixture
def puppet() -> Puppet:
    return Puppet(TOY)


@pytest.fixture
def client(puppet: Puppet) -> Iterator[TestClient]:
    with inside(puppet) as (_, client):
        yield client


def shape(value: object) -> object:
    """Its keys and types, without what it says."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return type(value).__name__


def has(ours: object, theirs: object) -> bool:
    """Whether our shape has everything that theirs has. What is unknown to us is empty."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(key in ours and has(ours[key], theirs[key]) for key in theirs)
    if isinstance(ours, list) and isinstance(theirs, list):
        return not theirs or (bool(ours) and has(ours[0], theirs[0]))
    return ours in (theirs, "NoneType")


def recorded(name: str) -> list[object]:
    """The shapes of a recorded body's lines, each once."""
    return shapes(map(orjson.loads, filter(bytes.strip, trace(name).body.splitlines())))


def shapes(lines: Iterable[object]) -> list[object]:
    """Each once, in the order in which they came. Keys have no order: Ollama's own differs from call to call."""
    return list({orjson.dumps(each, option=orjson.OPT_SORT_KEYS): each for each in map(shape, lines)}.values())


def told(body: bytes) -> list[object]:
    return shapes(lines_of(body))


@VERSIONS
@pytest.mark.parametrize("name", ["chat_stream", "chat_length", "chat_stop"])
def test_a_chat(client: TestClient, puppet: Puppet, version: str, name: str) -> None:
    puppet.say("so ", "on", DONE)
    answer = client.post("/api/chat", json=CHAT)
    assert answer.headers["content-type"] == trace(f"{version}/{name}").content_type == "application/x-ndjson"
    assert told(answer.content) == recorded(f"{version}/{name}")


@VERSIONS
def test_a_text_that_is_gone_on_from(client: TestClient, puppet: Puppet, version: str) -> None:
    puppet.say("so ", "on", DONE)
    answer = client.post("/api/generate", json={"model": "toy", "prompt": "a", "raw": True})
    assert told(answer.content) == recorded(f"{version}/gen_raw")


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("think_true", [Reasoning("well"), "so", DONE]),
        ("tools_stream", [ToolCalls((CALL,)), DONE]),
    ],
)
def test_thinking_and_calls(client: TestClient, puppet: Puppet, name: str, events: list[str | Event]) -> None:
    puppet.say(*events)
    ours = told(client.post("/api/chat", json=CHAT).content)
    theirs = recorded(f"v0.9.3/{name}")
    assert len(ours) == len(theirs)
    assert all(has(one, other) for one, other in zip(ours, theirs, strict=True))


@VERSIONS
def test_a_model_that_is_loaded_and_unloaded(client: TestClient, puppet: Puppet, version: str) -> None:
    puppet.loads.put_nowait(Loading("toy", "ready"))
    for name, asked in {"chat_load": {}, "chat_unload": {"keep_alive": 0}}.items():
        answer = client.post("/api/chat", json={"model": "toy", "messages": [], **asked})
        kept = trace(f"{version}/{name}")
        assert answer.headers["content-type"] == kept.content_type == "application/json; charset=utf-8"
        assert shape(answer.json()) == shape(orjson.loads(kept.body))
        assert answer.json()["done_reason"] == orjson.loads(kept.body)["done_reason"]


@VERSIONS
@pytest.mark.parametrize("name", ["tags", "ps", "ps_empty"])
def test_lists_of_models(client: TestClient, version: str, name: str) -> None:
    ours = shape(client.get(f"/api/{name.partition('_')[0]}").json())
    (theirs,) = recorded(f"{version}/{name}")
    assert has(ours, theirs)


@VERSIONS
def test_a_model_that_is_shown(client: TestClient, version: str) -> None:
    ours, (theirs,) = client.post("/api/show", json={"model": "toy"}).json(), recorded(f"{version}/show")
    assert isinstance(theirs, dict)
    assert set(theirs) - {"tensors"} <= set(ours), "all but the names of tensors, which newer servers leave out, too"
    assert has(shape(ours["details"]), theirs["details"])
    assert ours["model_info"][f"{ours['model_info']['general.architecture']}.context_length"] == 8192


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/api/chat", {**CHAT, "model": "nope"}, "chat_404"),
        ("/api/show", {"model": "nope"}, "show_404"),
        ("/api/chat", {**CHAT, "model": "nope", "messages": [], "keep_alive": 0}, "unload_404"),
    ],
)
@VERSIONS
def test_what_is_not_found(client: TestClient, version: str, path: str, body: object, name: str) -> None:
    answer, kept = client.post(path, json=body), trace(f"{version}/{name}")
    assert (answer.status_code, shape(answer.json())) == (kept.status, shape(orjson.loads(kept.body)))


def test_an_option_of_another_type_is_refused_in_ollamas_words(client: TestClient) -> None:
    answer = client.post("/api/chat", json={**CHAT, "options": {"num_predict": "many"}})
    assert answer.json() == orjson.loads(trace("v0.9.3/err_opt_type").body)
    assert answer.status_code == 400, "it is the caller's mistake, and no failure of the server"


@VERSIONS
def test_a_failure_in_the_middle_is_the_last_line(client: TestClient, puppet: Puppet, version: str) -> None:
    puppet.say("so ", BackendFailed("It broke."))
    answer = client.post("/api/chat", json=CHAT)
    assert told(answer.content) == recorded(f"{version}/err_midstream_runner_killed")
    assert lines_of(answer.content)[-1] == {"error": "It broke."}
