"""What docker-compose.yml, the Dockerfile and .dockerignore promise to each other and to the server."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from config import Settings, load_settings
from engine.kernels.store import BUILT

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return made


def test_compose_follows_the_specification(compose: dict[str, Any]) -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec/compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(compose)


def test_the_specification_would_object() -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec/compose-spec.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({"services": {"app": {"port": ["8000"]}}})


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0,
    reason="No Docker Compose on this machine: the schema alone was checked.",
)
def test_docker_compose_itself_accepts_the_file() -> None:
    command = ["docker", "compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet"]
    assert subprocess.run(command, check=False).returncode == 0


def test_the_page_is_published_on_loopback_only(compose: dict[str, Any]) -> None:
    assert compose["services"]["app"]["ports"] == ["127.0.0.1:8081:8000"]
    assert "ports" not in compose["services"]["ollama"], "Ollama asks nobody who they are."


def test_every_server_says_whether_it_is_well(compose: dict[str, Any]) -> None:
    app, ollama = compose["services"]["app"], compose["services"]["ollama"]
    assert "/health/live" in app["healthcheck"]["test"][-1]
    ast.parse(app["healthcheck"]["test"][-1])
    assert ollama["healthcheck"]["test"] == ["CMD", "ollama", "list"]


def test_a_container_is_given_longer_to_stop_than_its_answers_are_to_end(compose: dict[str, Any]) -> None:
    grace = compose["services"]["app"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > Settings().drain_timeout_s + 10


def test_what_must_outlive_a_container_is_in_named_volumes(compose: dict[str, Any]) -> None:
    assert set(compose["volumes"]) == {"models", "data", "ollama"}
    assert compose["services"]["app"]["volumes"] == ["models:/app/models", "data:/app/data"]
    assert compose["services"]["ollama"]["volumes"] == ["ollama:/root/.ollama"]


def test_the_app_does_not_wait_for_ollama_and_the_pull_does(compose: dict[str, Any]) -> None:
    assert compose["services"]["app"]["depends_on"]["ollama"]["condition"] == "service_started"
    assert compose["services"]["pull-model"]["depends_on"]["ollama"]["condition"] == "service_healthy"
    assert compose["services"]["pull-model"]["entrypoint"] == ["ollama", "pull", "${OLLAMA_MODEL:-gemma:2b}"]


def test_compose_reads_the_settings_as_the_server_does() -> None:
    """Compose takes a comment for the value where nothing stands before it, so an empty value is written as quotes."""
    for line in (ROOT / ".env").read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.match(r"[A-Z_]+=\S", line), f"{line.partition('=')[0]} has no value that Compose would see."


def test_the_overrides_are_settings_that_the_server_takes(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = compose["services"]["app"]["environment"]
    for name, value in environment.items():
        assert name.lower() in Settings.model_fields, f"{name} is not a setting."
        monkeypatch.setenv(name, value)
    settings = load_settings(ROOT / ".env")
    assert (settings.host, settings.port, settings.auth) == ("0.0.0.0", 8000, "off")
    assert settings.ollama_host == "http://ollama:11434"


def test_the_image_listens_everywhere_as_an_ordinary_user() -> None:
    assert DOCKERFILE.count("FROM python:3.11-slim-bookworm") == DOCKERFILE.count("FROM ") == 3
    assert "\nUSER switchboard\n" in DOCKERFILE
    assert "HOST=0.0.0.0 PORT=8000 AUTH=off" in DOCKERFILE
    assert "\nEXPOSE 8000\n" in DOCKERFILE
    assert "/health/live" in DOCKERFILE.partition("HEALTHCHECK")[2]


def test_the_image_gets_the_kernels_and_not_the_compiler() -> None:
    *_, kernels, final = DOCKERFILE.split("\nFROM ")
    assert "g++" in kernels
    assert "g++" not in final
    assert f"COPY --from=kernels /app/{BUILT.relative_to(ROOT)} {BUILT.relative_to(ROOT)}\n" in final
    assert final.index("COPY . .") < final.index("--from=kernels"), "nothing that was sent lies over them"


def test_the_kernels_are_built_from_what_their_stage_is_sent(tmp_path: Path) -> None:
    """Their folder and the files named beside it hold all that the builder imports."""
    copied = re.findall(r"^COPY (engine/.+) engine/\S*$", DOCKERFILE, re.MULTILINE)
    for name in " ".join(copied).split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    command = [sys.executable, "-P", "-c", "import engine.kernels.build as b; print(b.__file__)"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    printed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert printed == f"{tmp_path}/engine/kernels/build.py\n"


def test_the_build_is_sent_every_file_that_the_server_needs() -> None:
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    needed = {name.partition(".")[0] for name in project["packages"]} | {f"{name}.py" for name in project["py-modules"]}
    assert needed <= set(sent)
    assert {"static", ".env", "requirements.txt", "tools"} <= set(sent)
    assert not {"tests", "models", ".git", ".env.local"} & set(sent)


@pytest.mark.parametrize("script", sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("tools/*.sh")))
def test_scripts_can_be_run_and_parsed(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert subprocess.run(["sh", "-n", ROOT / script], check=False).returncode == 0
