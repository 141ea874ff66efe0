import pytest

from backends.base import BackendError, ContextOverflow, ModelNotFound, Overloaded, Unsupported
from server.openai.errors import error_body, failure_body


@pytest.mark.parametrize(
    ("error", "kind", "param", "code"),
    [
        (ModelNotFound("Sorry."), "invalid_request_error", "model", "model_not_found"),
        (ContextOverflow("Sorry."), "invalid_request_error", None, "context_length_exceeded"),
        (Unsupported("Sorry.", field="tools"), "invalid_request_error", "tools", "unsupported"),
        (Unsupported("Sorry.", field="repeat_penalty"), "invalid_request_error", "repetition_penalty", "unsupported"),
        (Unsupported("Sorry."), "invalid_request_error", None, "unsupported"),
        (Overloaded("Sorry."), "server_error", None, "overloaded"),
        (BackendError("Sorry."), "server_error", None, "backend_error"),
    ],
)
def test_a_failure_has_the_words_that_clients_know(
    error: BackendError, kind: str, param: str | None, code: str
) -> None:
    assert failure_body(error) == {"error": {"message": "Sorry.", "type": kind, "param": param, "code": code}}


@pytest.mark.parametrize(("status", "kind"), [(404, "invalid_request_error"), (500, "server_error")])
def test_the_status_says_whose_error_it_is(status: int, kind: str) -> None:
    assert error_body(status, "Sorry.")["error"] == {"message": "Sorry.", "type": kind, "param": None, "code": None}
