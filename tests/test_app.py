"""The program as a person starts it: a process, its first lines, its end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from fastapi.testclient import TestClient

from app import check_exposure, create_app, create_backends, warn_of_an_open_door
from backends.pytorch import PyTorchBackend
from config import Settings, SettingsError
from tests.server.access.keys_for_tests import add_key

ROOT = Path(__file__).parent.parent


@contextmanager
def switchboard(**environment: str) -> Iterator[subprocess.Popen[str]]:
    """`python app.py`, ended by its own process id if the test has not ended it."""
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, "PORT": "0", "BACKENDS": "echo", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"listening on (http://[\d.]+:\d+)", line):
            return found[1]
    raise AssertionError("The server printed no address.")


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_it_prints_where_it_listens_and_the_page_is_there() -> None:
    started = time.monotonic()
    with switchboard(BACKENDS="pytorch,ollama", MODEL_PATH="nowhere.gguf", MODEL_DIR="nowhere") as process:
        address = first_address(process)
        status, body = get(address)
        assert status == 200
        assert b"<title>" in body
        assert time.monotonic() - started < 60  # 3 s is the aim, measured in bench/; a loaded machine is slower
        assert get(address + "/health/live") == (200, b'{"status":"alive"}')
        status, body = get(address + "/health")
        assert status == 503
        assert json.loads(body)["reason"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(sent: signal.Signals) -> None:
    with switchboard() as process:
        get(first_address(process))
        process.send_signal(sent)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "has stopped" in errors


def test_a_port_in_use_is_said() -> None:
    with switchboard() as first:
        port = first_address(first).rsplit(":", 1)[1]
        with switchboard(PORT=port) as second:
            _, errors = second.communicate(timeout=30)
    assert second.returncode == 1
    assert f"port {port}" in errors
    assert "Choose another PORT" in errors


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"PORT": "high"}, "PORT"),
        ({"BACKENDS": "nonsense"}, "BACKENDS"),
        ({"BACKENDS": "echo,echo"}, "echo more than once"),
        ({"BACKENDS": "ollama", "OLLAMA_HOST": "http://"}, "OLLAMA_HOST"),
        ({"HOST": "0.0.0.0", "KEYS_FILE": "nowhere/keys.json"}, "python -m server.access.keys add"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start_with_its_name(environment: dict[str, str], named: str) -> None:
    with switchboard(**environment) as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert named in errors.splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        ({}, "dtype_path", "fast"),
        ({"KERNELS": "off"}, "dtype_path", "eager"),
        ({}, "kv_tokens", None),
        ({"KV_TOKENS": 4096}, "kv_tokens", 4096),
        ({}, "kv_dtype", "auto"),
        ({"KV_DTYPE": "int8"}, "kv_dtype", "int8"),
        ({}, "speculation", True),
        ({"SPECULATION": "off"}, "speculation", False),
        ({"TORCH_THREADS": 3}, "threads", 3),
        ({"MAX_BATCH_SIZE": 5}, "max_batch_size", 5),
        ({"MAX_QUEUE_SIZE": 7}, "max_queue_size", 7),
    ],
)
def test_the_settings_reach_the_engine(settings: dict[str, object], field: str, value: object) -> None:
    [backend] = create_backends(Settings(**{"BACKENDS": ["pytorch"], **settings}))
    assert isinstance(backend, PyTorchBackend)
    assert getattr(backend._config, field) == value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_needs_no_log_in(host: str) -> None:
    check_exposure(Settings(host=host))


def test_other_addresses_are_refused_without_a_key_unless_somebody_says_so(tmp_path: Path) -> None:
    elsewhere = Settings(host="192.168.0.9", keys_file=str(tmp_path / "keys.json"))
    for command in ("server.access.keys add me --admin", "AUTH=off"):
        with pytest.raises(SettingsError, match=command):
            check_exposure(elsewhere)
    check_exposure(Settings(host="192.168.0.9", auth="off"))
    add_key(tmp_path / "keys.json", until=time.time() - 1)
    with pytest.raises(SettingsError, match="no key yet"):
        check_exposure(elsewhere)
    add_key(tmp_path / "keys.json")
    check_exposure(elsewhere)


def test_whoever_wants_keys_on_loopback_needs_one_too(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AUTH=on asks for a key"):
        check_exposure(Settings(auth="on", keys_file=str(tmp_path / "keys.json")))


@pytest.mark.parametrize(
    ("proxies", "auth", "warned"),
    [(["127.0.0.1"], "auto", True), (["127.0.0.1"], "off", False), (["127.0.0.1"], "on", False), ([], "auto", False)],
)
def test_a_proxy_that_brings_others_in_unasked_is_warned_of(proxies: list[str], auth: str, warned: bool) -> None:
    with structlog.testing.capture_logs() as lines:
        warn_of_an_open_door(Settings(TRUSTED_PROXIES=proxies, AUTH=auth))
    assert any("AUTH=on" in line["event"] for line in lines) is warned


def test_a_spoilt_file_of_keys_stops_the_start_with_its_name(tmp_path: Path) -> None:
    spoilt = tmp_path / "keys.json"
    spoilt.write_text("{")
    for fails in (check_exposure, create_app):
        with pytest.raises(SettingsError, match=r"keys\.json"):
            fails(Settings(auth="on", keys_file=str(spoilt)))


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Settings(backends=["echo"])), base_url="http://127.0.0.1:8000") as client:
        yield client


def test_the_page_travels_compressed_and_is_not_fetched_again_unchanged(client: TestClient) -> None:
    first = client.get("/static/style.css", headers={"accept-encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    assert int(first.headers["content-length"]) < len(first.content) / 2
    again = client.get("/static/style.css", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/api/models", "/health", "/nowhere", "/static/nowhere"])
def test_every_answer_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/.env", "/static/..%2f.env", "/static//etc/passwd"]
)
def test_nothing_beside_the_page_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_an_unknown_path_is_json(client: TestClient) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.json() == {"success": False, "error": "Not Found."}


def test_a_server_of_openais_api_is_a_backend_where_its_address_is_set() -> None:
    names = [backend.name for backend in create_backends(Settings(backends=["echo", "openai"]))]
    assert names == ["echo"]
    settings = Settings(backends=["echo", "openai"], openai_host="http://127.0.0.1:8080/v1")
    assert [backend.name for backend in create_backends(settings)] == ["echo", "openai"]


def test_an_address_that_is_missing_where_nothing_else_answers_is_asked_for() -> None:
    with pytest.raises(SettingsError, match="OPENAI_HOST"):
        create_backends(Settings(backends=["openai"]))


@pytest.mark.parametrize("key", ["a b", "clé", "a\nb"])
def test_a_key_that_is_none_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY") as refused:
        create_backends(Settings(backends=["openai"], openai_host="there", openai_api_key=key))
    assert key not in str(refused.value)
