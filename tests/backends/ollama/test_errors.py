import pytest

from backends.base import BackendError, BackendFailed, ContextOverflow, ModelNotFound, Overloaded, Unsupported
from backends.http import StatusError
from backends.ollama.errors import broke, pull_failed, refused, told


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ('"x" does not support thinking', Unsupported, "does not support thinking"),
        ("registry.ollama.ai/library/x:tag does not support tools", Unsupported, "does not support tools"),
        ('"nomic-embed-text" does not support chat', Unsupported, "does not support chat"),
        ("the input length exceeds the context length", ContextOverflow, "Shorten it"),
        ("input length exceeds maximum context length", ContextOverflow, "Shorten it"),
        ("model requires more system memory (5.5 GiB) than is available (2.1 GiB)", BackendFailed, "too little memory"),
        ("llama runner process has terminated: cudaMalloc failed: out of memory", BackendFailed, "too little memory"),
        ("server busy, please try again.  maximum pending requests exceeded", Overloaded, "Try again"),
        ("an error was encountered while running the model: unexpected EOF", BackendFailed, "unexpected EOF"),
        ("", BackendFailed, "no reason"),
    ],
)
def test_an_error_line_means_the_same_as_a_status_of_500(text: str, kind: type[BackendError], says: str) -> None:
    in_stream = broke(text, "x")
    before = refused(StatusError(500, "application/json", text, None), "x")
    assert type(in_stream) is type(before) is kind
    assert in_stream.message == before.message
    assert says in in_stream.message


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("pull model manifest: file does not exist", ModelNotFound, "has no model x"),
        (
            'pull model manifest: Get "https://r.example/v2": dial tcp: lookup r.example: no such host',
            ModelNotFound,
            "network",
        ),
        ("write /root/.ollama/models/blobs/sha256-1: no space left on device", BackendFailed, "no room"),
        (
            "digest mismatch, file must be downloaded again: want sha256:1, got sha256:2",
            BackendFailed,
            "digest mismatch",
        ),
    ],
)
def test_a_failed_download_says_what_to_do(text: str, kind: type[BackendError], says: str) -> None:
    error = pull_failed(text, "x")
    assert type(error) is kind
    assert says in error.message


def test_the_servers_own_words_stay_with_the_error_for_the_log() -> None:
    error = broke("open /root/.ollama/blob: denied", "x")
    assert any("/root/.ollama/blob" in note for note in error.__notes__)
    assert "/root" not in error.message


def test_a_refusal_leaves_its_context_as_what_it_means() -> None:
    with pytest.raises(ModelNotFound) as caught, told("x"):
        raise StatusError(404, "application/json", "model 'x' not found", None)
    assert isinstance(caught.value.__cause__, StatusError)
