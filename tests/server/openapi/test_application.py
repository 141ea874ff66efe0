"""`/openapi.json` says all that the routes take and give, and what it shows is so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis

from app import create_app
from config import Settings
from server.openapi.application import TAGS
from server.openapi.bodies import FORM, JSON
from server.openapi.examples import EXAMPLES
from server.openapi.samples import MODEL
from tests.application import application

DOCUMENT = create_app(Settings(BACKENDS=["echo"], DATABASE_URL="off")).openapi()
OPERATIONS = {
    (method, path): operation for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
}
EVERY = pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[" ".join(each) for each in OPERATIONS])
ASKED = [
    pytest.param(method, path, kind, body, id=f"{method} {path}, {name}")
    for (method, path), example in EXAMPLES.items()
    for kind, name, body in [
        *((JSON, name, body) for name, body in example.asked.items()),
        *((FORM, "form", body) for kind, body in example.other.items() if kind == FORM),
    ]
    if "{" not in path and (method, path) in OPERATIONS and "200" in OPERATIONS[method, path]["responses"]
]


def resolved(schema: Any) -> Any:
    """A schema that jsonschema can follow: with the objects that it refers to beside it."""
    return {**schema, "components": DOCUMENT["components"]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("examples")
    with (
        application(database_url=f"sqlite:///{folder / 'history.db'}") as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def test_the_document_is_one_by_the_rules_of_openapi() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.1")


def test_where_a_key_is_asked_for_logging_in_is_described_too(tmp_path: Path) -> None:
    guarded = Settings(BACKENDS=["echo"], DATABASE_URL="off", AUTH="on", KEYS_FILE=str(tmp_path / "keys.json"))
    paths = create_app(guarded).openapi()["paths"]
    added = paths.keys() - DOCUMENT["paths"].keys()
    assert added == {"/api/login", "/api/logout", "/api/ws-ticket"}
    assert paths["/api/login"]["post"]["security"] == []
    assert {"bearer": []} in paths["/api/ws-ticket"]["post"]["security"]
    for path in ("/api/login", "/api/ws-ticket"):
        assert "example" in paths[path]["post"]["responses"]["200"]["content"][JSON]


@EVERY
def test_every_operation_is_told_in_words(method: str, path: str) -> None:
    operation = OPERATIONS[method, path]
    assert operation["summary"]
    assert operation["description"].endswith(".")
    assert operation["tags"][0] in TAGS
    for response in operation["responses"].values():
        assert response["description"]


@EVERY
def test_every_operation_has_examples_of_what_it_takes_and_gives(method: str, path: str) -> None:
    operation = OPERATIONS[method, path]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        assert _shows(content), f"{kind} is taken, and there is no example."
    for kind, content in operation["responses"].get("200", {}).get("content", {}).items():
        assert _shows(content), f"{kind} is given, and there is no example."


def _shows(content: dict[str, Any]) -> bool:
    schema = content.get("schema", {})
    referred = DOCUMENT["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
    return bool(content.keys() & {"example", "examples"} or schema.get("examples") or referred.get("examples"))


@EVERY
def test_every_example_is_what_its_schema_says(method: str, path: str) -> None:
    operation = OPERATIONS[method, path]
    body = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
    for example in body.get("examples", {}).values():
        jsonschema.validate(example["value"], resolved(body["schema"]))
    for response in operation["responses"].values():
        content = response.get("content", {}).get(JSON, {})
        if "example" in content:
            jsonschema.validate(content["example"], resolved(content.get("schema", {})))


@pytest.mark.parametrize(("method", "path", "kind", "body"), ASKED)
def test_every_example_can_be_sent(client: httpx.Client, method: str, path: str, kind: str, body: Any) -> None:
    body = json.loads(json.dumps(body).replace(MODEL, "echo"))
    content = {"json": body} if kind == JSON else {"data": body}
    answer = client.request(method, path, **content)
    assert answer.status_code == 200, answer.text
    documented = OPERATIONS[method, path]["responses"]["200"]["content"]
    given = answer.headers["content-type"].partition(";")[0]
    assert given in documented
    if given == JSON:
        jsonschema.validate(answer.json(), resolved(documented[JSON]["schema"]))
