"""How many threads compute: what the settings say, or what the machine and its container allow."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil
import pytest
import torch

from engine.config import EngineConfig
from engine.device import count_cores, count_threads, return_freed_memory


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("allowed", "cores"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("350000 100000", 3),
        ("50000 100000", 1),
        ("6400000 100000", 8),
        ("nonsense", 8),
        ("1 0", 8),
        (None, 8),
    ],
)
def test_a_container_with_less_time_gets_fewer_threads(tmp_path: Path, allowed: str | None, cores: int) -> None:
    if allowed is not None:
        (tmp_path / "cpu.max").write_text(allowed + "\n")
    assert count_cores(tmp_path) == cores


@pytest.mark.usefixtures("eight_cores")
def test_the_settings_win_over_what_is_there(tmp_path: Path) -> None:
    assert count_threads(EngineConfig(threads=3)) == 3
    assert count_threads(EngineConfig()) == count_cores()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only this C library keeps what is freed")
def test_what_was_freed_is_given_back() -> None:
    process, size, count = psutil.Process(), 100 << 10, 2000
    kept = [torch.ones(size, dtype=torch.uint8) for _ in range(count)]
    del kept[:-1]  # what is left lies above the rest
    before = process.memory_info().rss
    return_freed_memory()
    assert process.memory_info().rss < before - size * count // 2
