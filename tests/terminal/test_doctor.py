"""`doctor`: well or not, it says what is so and what to do, and never breaks on what it finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from terminal.doctor import connection, installation, surroundings
from terminal.doctor.findings import Finding
from tests.browser.servers import ROOT, Server, free_port
from tests.terminal.answering import Answering


def doctor(*arguments: str, **environment: str) -> tuple[int, dict[str, Finding], str]:
    command = [sys.executable, "cli.py", "doctor", "--json", *arguments]
    settings = {**os.environ, "PORT": str(free_port()), "OLLAMA_HOST": "", **environment}
    ran = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=60, check=False)
    told = json.loads(ran.stdout)
    assert told["healthy"] == (ran.returncode == 0)
    return ran.returncode, {each["name"]: Finding(**each) for each in told["findings"]}, ran.stderr


def test_a_machine_with_nothing_running_is_well_and_told_how_to_start() -> None:
    status, found, errors = doctor()
    assert (status, errors) == (0, "")
    assert found["Server"].state == "skipped"
    assert "`make serve`" in found["Server"].told
    assert found["Port"].state == "works"
    assert found["Model file"].state == found["Packages"].state == found["Access"].state == "works"


def test_a_server_that_runs_is_tried_in_every_way(scripted_server: Server) -> None:
    status, found, _ = doctor("--server", scripted_server.url)
    assert status == 0
    for name in ("Server", "Models", "WebSocket", "Event stream"):
        assert found[name].state == "works", found[name]
    assert "Port" not in found


def test_what_is_broken_is_named_with_what_to_do() -> None:
    status, found, _ = doctor("--server", "127.0.0.1:9", MODEL_PATH="nowhere.gguf", HOST="0.0.0.0", AUTH="off")
    assert status == 1
    assert found["Model file"].state == "broken"
    assert "make model" in found["Model file"].advice
    assert found["Server"].state == "broken"
    assert found["Access"].state == "limited"
    assert "keys add" in found["Access"].advice


def test_settings_that_cannot_be_read_do_not_end_the_examination() -> None:
    status, found, errors = doctor("--server", "127.0.0.1:9", PORT="high")
    assert (status, errors) == (1, "")
    assert found["Settings"].told.startswith("PORT=high cannot be used")
    assert found["Disk"].state == "works"


def test_what_listens_there_and_is_something_else_is_told() -> None:
    with Answering(200, b"<h1>Hello</h1>", "text/html") as url:
        status, found, _ = doctor("--server", url)
    assert status == 1
    assert "is no Switchboard" in found["Server"].told


def test_a_port_that_is_taken_is_told() -> None:
    with Answering(200, b"") as url:
        finding = surroundings.port("127.0.0.1", int(url.rpartition(":")[2]))
    assert finding.state == "broken"
    assert "another PORT" in finding.advice


def test_an_ollama_that_is_configured_and_down_is_told() -> None:
    assert surroundings.ollama("127.0.0.1:9").state == "broken"
    with Answering(200, b'{"version": "0.9.3"}') as url:
        assert surroundings.ollama(url).told.startswith("0.9.3")


def test_keys_are_counted_and_missed_where_they_are_wanted(tmp_path: Path) -> None:
    kept = {"AUTH": "on", "KEYS_FILE": str(tmp_path / "keys.json")}
    _, found, _ = doctor(**kept)
    assert found["Access"].state == "broken"
    environment = {**os.environ, **kept}
    subprocess.run(
        [sys.executable, "cli.py", "keys", "add", "me"], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    _, found, _ = doctor(**kept)
    assert found["Access"].told == "whoever shows the one key"


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>")
    assert "is no GGUF file" in installation.model(str(tmp_path / "page.gguf")).told


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("Nothing is closed to root.")
    tmp_path.chmod(0o500)
    assert installation.storage(f"sqlite:///{tmp_path}/x.db").state == "broken"


class AllAtOnce(httpx.SyncByteStream):
    """A stream that somebody has held back until it was over."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"".join(b'event: tick\ndata: {"number":%d,"of":3,"sent":%d}\n\n' % (at, at * 120) for at in range(3))


def test_a_proxy_that_holds_back_is_found_out() -> None:
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=AllAtOnce())
    with httpx.Client(base_url="http://x", transport=httpx.MockTransport(lambda _: answer)) as http:
        finding = connection.events(http)
    assert finding.state == "limited"
    assert "all at once" in finding.told


def test_without_its_packages_the_program_says_what_to_do(tmp_path: Path) -> None:
    """A bare Python, as somebody has who has just cloned the project."""
    (tmp_path / "cli.py").write_text((ROOT / "cli.py").read_text())
    (tmp_path / "terminal").symlink_to(ROOT / "terminal")
    command = [sys.executable, "-S", "cli.py", "doctor"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert ran.stderr == "The package typer is missing. `make serve` installs all that is needed, into .venv.\n"
