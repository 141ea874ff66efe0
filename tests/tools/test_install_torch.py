from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path

from tools.install_torch import REQUIREMENTS, brings_cuda, choose, is_installed, pinned


def report(*requires: str) -> str:
    return json.dumps(
        {"install": [{"metadata": {"name": "torch", "version": "2.13.0", "requires_dist": list(requires)}}]}
    )


def test_the_release_is_the_pinned_one() -> None:
    assert re.fullmatch(r"torch==2\.\d+\.\d+", pinned(REQUIREMENTS))


def test_the_build_does_not_matter_to_what_is_installed() -> None:
    assert is_installed(f"torch=={metadata.version('torch').partition('+')[0]}")
    assert not is_installed("torch==0.1")


def test_a_build_that_needs_cuda_is_recognised() -> None:
    assert brings_cuda(report("filelock", 'nvidia-cublas==13.1; platform_system == "Linux"'))
    assert not brings_cuda(report("filelock", "sympy"))


def test_an_index_is_asked_beside_the_usual_one() -> None:
    [command] = choose("torch==2.13.0", "https://wheels.example.org/cpu", wants_cpu_build=True)
    assert command[-2:] == ["--extra-index-url", "https://wheels.example.org/cpu"]


def test_a_folder_of_wheels_is_looked_through(tmp_path: Path) -> None:
    [command] = choose("torch==2.13.0", str(tmp_path), wants_cpu_build=True)
    assert command[-2:] == ["--find-links", str(tmp_path)]


def test_without_a_gpu_the_cpu_build_is_tried_first() -> None:
    first, second = choose("torch==2.13.0", "", wants_cpu_build=True)
    assert first[:5] == ["uv", "pip", "install", "--python", sys.executable]
    assert "--torch-backend=cpu" in first
    assert second[0] == "pip"


def test_what_pip_finds_is_taken_where_it_fits() -> None:
    assert [command[0] for command in choose("torch==2.13.0", "", wants_cpu_build=False)] == ["pip"]


def test_only_torch_is_installed_here() -> None:
    for index in ("", "https://wheels.example.org/cpu"):
        for command in choose("torch==2.13.0", index, wants_cpu_build=True):
            assert "--no-deps" in command
