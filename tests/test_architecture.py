"""Who may import whom, and what may not stand in the repository at all."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OWN = {"app", "benchmark_plot", "config", "cli", "backends", "engine", "server", "terminal", "tools", "bench"}
COMPOSITION = {"app", "config", "cli"}
CONCRETE = {"backends.echo", "backends.ollama", "backends.openai", "backends.pytorch"}
TENSORS = {"engine", "torch"}
WEB = {"fastapi", "starlette", "uvicorn"}
DATABASE = {"aiosqlite", "alembic", "asyncpg", "sqlalchemy", "sqlite3"}
HUB = {"server.hub", "server.routes", "server.session", "server.sessions", "server.recorder"}

# Beginning of a path -> what must not be imported there. The longest beginning that fits a file counts.
FORBIDDEN = {
    "app.py": {*CONCRETE, *TENSORS},
    "config.py": OWN,
    "cli.py": OWN - {"terminal"},
    "terminal/": OWN - {"terminal"},
    "backends/": {*COMPOSITION, "server", *TENSORS, *WEB, *DATABASE},
    "backends/pytorch": {*COMPOSITION, "server", *WEB},
    "engine/": {*COMPOSITION, "backends", "server", "asyncio", "httpx", *WEB, *DATABASE},
    "server/": {*COMPOSITION, *CONCRETE, *TENSORS, *DATABASE, "httpx", "fastapi"},
    "server/access/keys.py": {
        "app",
        "cli",
        *CONCRETE,
        *TENSORS,
        *DATABASE,
        *WEB,
    },  # a program, with settings of its own
    "server/errors.py": {*COMPOSITION, *CONCRETE, *TENSORS, *DATABASE, "httpx"},
    "server/history/": {*COMPOSITION, "backends", *TENSORS, *WEB, *HUB, "httpx"},
    "server/openapi/": {*COMPOSITION, *CONCRETE, *TENSORS, *DATABASE, "httpx"},
    "server/routes/": {*COMPOSITION, *CONCRETE, *TENSORS, *DATABASE, "httpx"},
    "tools/": {*COMPOSITION, "backends", "server", *TENSORS, *WEB},
    "bench/": {"tests"},
    "benchmark_plot.py": {*COMPOSITION, "backends", "server", "tests"},
}


def sources() -> list[str]:
    found = (path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
    return sorted(path for path in found if path.split("/")[0] in {*OWN, *(f"{name}.py" for name in OWN)})


def imports(path: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; say the whole name."
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sources())
def test_imports_go_one_way(path: str) -> None:
    rule = max((prefix for prefix in FORBIDDEN if path.startswith(prefix)), key=len)
    for name in imports(path):
        for forbidden in FORBIDDEN[rule]:
            assert not f"{name}.".startswith(f"{forbidden}."), f"{path} must not import {name}."


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("This is not a git checkout.")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_what_programs_make_is_not_committed() -> None:
    for path in tracked():
        assert path.stat().st_size < 1_000_000, (
            f"{path.relative_to(ROOT)} is too large to have been written by a person."
        )


def test_no_package_registry_is_named() -> None:
    """Where packages come from is each user's own business: pip, npm and apt know."""
    endings = "org", "com", "io"
    names = "pypi", "pythonhosted", "npmjs", "registry.npmjs", "download.pytorch", "deb.debian", "yarnpkg"
    hosts = re.compile(rf"\b({'|'.join(map(re.escape, names))})\.({'|'.join(endings)})\b")
    for path in tracked():
        match = hosts.search(path.read_text(errors="replace"))
        assert match is None, f"{path.relative_to(ROOT)} names {match[0]}."


def test_nothing_points_outside_the_repository() -> None:
    """No file refers to a folder of the machine it was written on."""
    homes = "|".join(("root", "home/[a-z]+", "work", "tmp/[a-z]+"))
    outside = re.compile(rf"(?<![\w.~/}}:])/({homes})/\w|\.\./(?:shared|seeds)\b")
    for path in tracked():
        if "vendor" in path.parts or "data" in path.parts or "traces" in path.parts:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            assert not outside.search(line), f"{path.relative_to(ROOT)}:{number} points outside: {line.strip()[:100]}"


@pytest.mark.parametrize("folder", ["static/vendor", "tests/browser/vendor"])
def test_what_is_vendored_is_what_was_published(folder: str) -> None:
    """Nobody has touched a library's file, added one or forgotten one."""
    manifest = json.loads((ROOT / folder / "manifest.json").read_text())
    recorded = {
        f"{name}/{file}": digest for name, entry in manifest.items() for file, digest in entry["sha256"].items()
    }
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.name != "manifest.json"]
    found = {
        path.relative_to(ROOT / folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    assert found == recorded
