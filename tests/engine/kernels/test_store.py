"""The folder that keeps libraries: the newest whole one is found, old ones go, one builds at a time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from engine.errors import KernelsUnavailable
from engine.kernels import store
from engine.kernels.compiler import Patience


def put(folder: Path, name: str, *, age: float = 0) -> Path:
    part = folder / f"new-{name}"
    part.write_bytes(b"the library " + name.encode())
    kept = store.keep(part, folder, name)
    time = kept.stat().st_mtime - age
    os.utime(kept, (time, time))
    return kept


def test_the_newest_library_of_the_sources_is_found(tmp_path: Path) -> None:
    put(tmp_path, store.library_name("aaaa", "old"), age=10)
    newer = put(tmp_path, store.library_name("aaaa", "new"), age=5)
    put(tmp_path, store.library_name("bbbb", "new"))
    assert store.find_in(tmp_path, "aaaa") == newer
    assert store.fingerprint_of(newer) == "aaaa-new"
    assert store.find_in(tmp_path, "cccc") is None
    assert store.find_in(tmp_path / "nowhere", "aaaa") is None


def test_only_a_few_libraries_are_kept(tmp_path: Path) -> None:
    names = [store.library_name(f"{number:04}", "c") for number in range(store.KEPT + 3)]
    for age, name in zip(range(len(names), 0, -1), names, strict=True):
        put(tmp_path, name, age=age)
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {name + suffix for name in names[-store.KEPT :] for suffix in ("", ".sha256")}


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []
    inside, waiting = threading.Event(), threading.Event()

    class Watched(Patience):
        def wait(self, seconds: float) -> None:
            waiting.set()
            super().wait(0.001)

    def second() -> None:
        inside.wait(10)
        with store.alone(tmp_path, Watched(10)):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with store.alone(tmp_path, Patience(10)):
        inside.set()
        assert waiting.wait(10), "the second found the folder free"
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_nobody_waits_forever(tmp_path: Path) -> None:
    with (
        store.alone(tmp_path, Patience(10)),
        pytest.raises(KernelsUnavailable, match="not done after 0 s"),
        store.alone(tmp_path, Patience(0)),
    ):
        raise AssertionError("two were alone")


def test_what_a_dead_build_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".part-dead").mkdir()
    (tmp_path / ".part-dead" / "half.o").write_text("")
    with store.workplace(tmp_path) as work:
        assert [file for file in tmp_path.iterdir() if file.is_dir()] == [work]
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.usual_folders() == [store.BUILT, tmp_path / "switchboard" / "kernels"]
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home-of-somebody")
    assert store.usual_folders()[1] == Path("/home-of-somebody/.cache/switchboard/kernels")
