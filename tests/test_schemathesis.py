"""Every operation of `/openapi.json`, asked with what it allows and with what it does not: no failure of ours, and
no answer that the document does not name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from datetime import timedelta

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.transport import Response

from app import create_app
from config import Settings
from tests.application import application
from tests.tiny_model import write_tiny_model

EXAMPLES = {GenerationMode.POSITIVE: 12, GenerationMode.NEGATIVE: 8}
ENDLESS = "/api/stream/{session_id}"
SECONDS = 30
NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
DOCUMENT = create_app(Settings(BACKENDS=["echo"], DATABASE_URL="off")).openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
load_all_checks()  # here: to import so much while a server runs in another thread can break this Python's compiler
CHECKED = CHECKS.get_by_names(NAMES)
OPERATIONS = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]
CASES = [
    pytest.param(method, path, mode, id=f"{method} {path}, {mode.value}")
    for method, path in OPERATIONS
    for mode in EXAMPLES
    if mode is GenerationMode.POSITIVE or DOCUMENT["paths"][path][method].keys() & {"requestBody", "parameters"}
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a small model and a history."""
    folder = tmp_path_factory.mktemp("schemathesis")
    model = write_tiny_model(folder / "tiny.gguf", context_length=96)
    chosen = {
        "backends": ["pytorch", "echo"],
        "model_path": str(model),
        "model_dir": str(folder),
        "torch_threads": 1,
        "database_url": f"sqlite:///{folder / 'history.db'}",
        "rate_limit": "off",
    }
    with application(**chosen) as url:
        yield url


@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_every_answer_is_one_that_the_document_names(url: str, method: str, path: str, mode: GenerationMode) -> None:
    operation = SCHEMA[path][method]

    @settings(
        max_examples=EXAMPLES[mode],
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        answer = _head_of(case, url) if path == ENDLESS else case.call(base_url=url, timeout=SECONDS)
        case.validate_response(answer, checks=CHECKED)

    with suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext():  # where anything is allowed
        ask()


def _head_of(case: Case, url: str) -> Response:
    """How an answer that has no end begins."""
    with requests.request(**case.as_transport_kwargs(base_url=url), stream=True, timeout=SECONDS) as answer:
        if answer.headers["content-type"].startswith("text/event-stream"):
            answer._content = next(answer.iter_content(None))
            answer.elapsed = timedelta(0)
        return Response.from_requests(answer, verify=True)
