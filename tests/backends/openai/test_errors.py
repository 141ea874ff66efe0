from typing import Any

import pytest

from backends.base import (
    BackendError,
    BackendFailed,
    BackendTimeout,
    BackendUnreachable,
    ContextOverflow,
    ModelNotFound,
    Overloaded,
    Unsupported,
)
from backends.http import StatusError, error_text
from backends.openai.errors import broke, field_refused, refused


def status_error(status: int, answer: dict[str, Any], content_type: str = "application/json") -> StatusError:
    return StatusError(status, content_type, error_text(answer), None, answer)


def said(message: str, **words: object) -> dict[str, Any]:
    return {"error": {"message": message, **words}}


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (400, said("too long", code="context_length_exceeded"), ContextOverflow),
        (400, said("request (4031 tokens)", type="exceed_context_size_error"), ContextOverflow),
        (400, {"message": "This model's maximum context length is 4096 tokens.", "object": "error"}, ContextOverflow),
        (413, {}, ContextOverflow),
        (400, said("Expected 'messages' to be an array"), BackendFailed),
        (401, said("Incorrect API key"), BackendFailed),
        (402, said("Insufficient Balance"), BackendFailed),
        (403, {}, BackendFailed),
        (404, said("The model `x` does not exist", code="model_not_found"), ModelNotFound),
        (404, {"object": "error", "message": "The model `x` does not exist."}, ModelNotFound),
        (404, said("File Not Found", type="not_found_error"), BackendFailed),
        (404, {"detail": "Not Found"}, BackendFailed),
        (404, said("This is a chat model and not supported in the v1/completions endpoint."), Unsupported),
        (408, {}, BackendTimeout),
        (429, said("Rate limit reached"), Overloaded),
        (429, said("You exceeded your current quota", code="insufficient_quota"), BackendFailed),
        (500, said("CUDA out of memory"), BackendFailed),
        (502, {}, BackendUnreachable),
        (503, said("Loading model", type="unavailable_error"), Overloaded),
        (504, {}, BackendTimeout),
        (529, said("Overloaded"), Overloaded),
    ],
)
def test_a_status_means_one_of_our_errors(status: int, answer: dict[str, Any], kind: type[BackendError]) -> None:
    error = refused(status_error(status, answer), "x")
    assert type(error) is kind
    assert error.message.endswith(".")
    assert any(str(status) in note for note in error.__notes__), "The log has to say what came."


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (said("too long", code=400, type="exceed_context_size_error"), ContextOverflow),
        ({"error": "Something broke"}, BackendFailed),
        ({"object": "error", "message": "Internal server error", "code": 500}, BackendFailed),
        (said("busy", code=503), Overloaded),
        (said("Overloaded", type="overloaded_error"), Overloaded),
        ({"error": {}}, BackendFailed),
        ({"error": ["odd"]}, BackendFailed),
    ],
)
def test_an_error_in_a_stream_means_the_same(record: dict[str, Any], kind: type[BackendError]) -> None:
    assert type(broke(record, "x")) is kind


def test_no_path_and_no_address_is_passed_on() -> None:
    error = refused(status_error(500, said("open /srv/models/x: http://10.0.0.1:8000 refused")), "x")
    assert "/srv" not in error.message
    assert "10.0.0.1" not in error.message


NAMES = ["temperature", "top_p", "top_k", "stop", "seed", "tools", "max_tokens"]


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (said("No.", param="top_k"), "top_k"),
        (said("No.", param="stop[2]"), "stop"),
        (said("No.", param="tools.0.function"), "tools"),
        (said("Unrecognized request arguments supplied: top_k"), "top_k"),
        (said("Unrecognized request argument supplied: seed"), "seed"),
        (said("Field 'temperature': type must be number"), "temperature"),
        (said("top_k must be -1 (disable), or at least 1, got 0."), "top_k"),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "top_p"], "msg": "No."}]}, "top_p"),
        ({"object": "error", "message": {"detail": [{"loc": ["body", "top_k"], "msg": "No."}]}}, "top_k"),
        (said("Please stop and think about the temperature of your tools."), None),
        (said("maximum context length is 10 tokens, but max_tokens is 20"), None),
        (said("Something else"), None),
        ({}, None),
    ],
)
def test_the_field_that_is_refused_is_found(answer: dict[str, Any], name: str | None) -> None:
    assert field_refused(status_error(400, answer), NAMES) == name
    assert field_refused(status_error(500, answer), NAMES) is None
