"""verify.sh against real servers, well and unwell."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.server.access.keys_for_tests import add_key
from tests.test_app import first_address, switchboard
from tools.verify import setting

ROOT = Path(__file__).resolve().parent.parent
NOBODY = "http://127.0.0.1:9"


def verify(url: str, **environment: str) -> tuple[int, str]:
    """Exit status and output of verify.sh, with no Ollama configured unless said so."""
    result = subprocess.run(
        ["bash", ROOT / "verify.sh", url],
        env={**os.environ, "OLLAMA_HOST": "", "OLLAMA_MODEL": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result.stdout + result.stderr


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    with switchboard(BACKENDS="echo") as process:
        yield first_address(process)


@contextmanager
def impostor(status: int, body: bytes) -> Iterator[str]:
    """Some other web server, which answers everything the same way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_healthy_server_passes_every_check(healthy: str) -> None:
    status, output = verify(healthy)
    assert status == 0, output
    assert output.count("  ok    ") == 9
    assert "“What is the capital of France?" in output
    assert output.endswith("All is well.\n")


def test_a_slash_at_the_end_of_the_address_does_no_harm(healthy: str) -> None:
    assert verify(f"{healthy}/")[0] == 0


def test_a_server_that_asks_for_a_key_passes_with_one_and_says_so_without(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key = add_key(keys)
    with switchboard(BACKENDS="echo", AUTH="on", KEYS_FILE=str(keys)) as process:
        address = first_address(process)
        status, output = verify(address, SWITCHBOARD_KEY=key)
        assert status == 0, output
        status, output = verify(address)
        assert status > 0
        assert "set SWITCHBOARD_KEY" in output


def test_nobody_there_is_one_failure() -> None:
    status, output = verify(NOBODY)
    assert status == 1
    assert "FAIL  server        nothing answers there" in output
    assert "make serve" in output


def test_another_server_fails_every_check_but_the_unconfigured() -> None:
    with impostor(200, b"hello") as url:
        status, output = verify(url)
    assert "/ is served as text/plain, not as text/html" in output
    assert "Failed: page style.css script.js live models health ready websocket ollama" in output
    assert status == 9


def test_what_a_failing_server_says_is_shown() -> None:
    with impostor(503, b"No model is ready yet.") as url:
        _, output = verify(url)
    assert "/health answered 503: No model is ready yet." in output


def test_ollama_configured_but_down_is_named() -> None:
    with switchboard(BACKENDS="echo,ollama", OLLAMA_HOST=NOBODY, OLLAMA_MODEL="gemma:2b") as process:
        status, output = verify(first_address(process), OLLAMA_HOST=NOBODY)
    assert status == 1
    assert "FAIL  ollama        Ollama is configured but down: " in output
    assert "Failed: ollama" in output


def test_ollama_configured_on_the_server_alone_is_named_too() -> None:
    with switchboard(BACKENDS="echo,ollama", OLLAMA_HOST=NOBODY) as process:
        status, output = verify(first_address(process))
    assert status == 1
    assert "Failed: ollama" in output


def test_ollama_configured_here_and_unknown_to_the_server_is_named(healthy: str) -> None:
    with impostor(200, b"Ollama is running") as host:
        status, output = verify(healthy, OLLAMA_HOST=host)
    assert status == 1
    assert "OLLAMA_HOST is set, but the server lists no model of Ollama's" in output


def test_a_name_that_only_a_container_knows_is_left_to_the_server(healthy: str) -> None:
    _, output = verify(healthy, OLLAMA_HOST="http://ollama.invalid:11434")
    assert "OLLAMA_HOST is set, but the server lists no model of Ollama's" in output


def test_no_model_at_all_is_named() -> None:
    with switchboard(BACKENDS="ollama", OLLAMA_HOST=NOBODY, OLLAMA_MODEL="gemma:2b") as process:
        status, output = verify(first_address(process))
    assert status == 5
    assert "no model is ready. ollama/gemma:2b is unreachable" in output
    assert "Failed: models health ready websocket ollama" in output


def test_settings_are_read_as_the_server_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.delenv("OLLAMA_MODEL", raising=False)
    assert setting("PORT") == "8000"
    assert setting("OLLAMA_MODEL") == ""
    monkeypatch.setenv("OLLAMA_MODEL", "gemma:2b")
    assert setting("OLLAMA_MODEL") == "gemma:2b"
