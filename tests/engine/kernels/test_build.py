"""A library out of sources, or a sentence that says why not: with compilers that work, fail, hang or are missing."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.errors import KernelsUnavailable
from engine.kernels import build
from engine.kernels.compiler import Patience
from tests.engine.kernels.conftest import Workshop

ROOT = Path(__file__).resolve().parents[3]
BY_HAND = """
import sys
from pathlib import Path
from engine.kernels import build
print(build.build([Path(sys.argv[1])], Path(sys.argv[2])))
"""


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "nowhere/c++")
    monkeypatch.setenv("PATH", "")


def compiler(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """A program that passes for a compiler until it is asked to compile. Writes its process id beside itself."""
    path = folder / "fake-c++"
    path.write_text(f'#!/bin/sh\n[ "$1" != --version ] || {{ echo "fake 1.0"; exit; }}\necho $$ > "$0.pid"\n{script}\n')
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    return path


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.usefixtures("needs_compiler")
def test_the_library_holds_each_source_for_each_set(workshop: Workshop) -> None:
    assert workshop.find() is None
    path = workshop.build()
    assert path.parent == workshop.folders[0]
    assert workshop.find() == path
    library = ctypes.CDLL(str(path))
    assert library.answer() == 42
    if build.sources.machine() == "x86_64":
        assert [library[f"lanes_{name}"]() for name in ("portable", "avx2", "avx512")] == [4, 8, 16]
        shared = [library[f"shared_{name}"]() for name in ("portable", "avx2", "avx512")]
        assert shared == [4, 4, 4], "what all sets share runs on every processor"
    assert {file.suffix for file in path.parent.iterdir()} == {"", ".so", ".sha256"}, "what was unfinished is gone"


@pytest.mark.usefixtures("needs_compiler")
def test_a_second_build_compiles_nothing(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workshop.build()
    monkeypatch.setenv("PATH", "")
    assert workshop.build() == path


@pytest.mark.usefixtures("needs_compiler")
def test_a_changed_source_is_built_and_the_old_library_is_not_taken_for_it(workshop: Workshop) -> None:
    first = workshop.build()
    workshop.write("answer.h", "#define ANSWER 43\n")
    assert workshop.find() is None
    second = workshop.build()
    assert second != first
    assert ctypes.CDLL(str(second)).answer() == 43
    workshop.write("answer.h", "#define ANSWER 42\n")
    assert workshop.find() == first, "another version of the program finds its own again"


@pytest.mark.usefixtures("needs_compiler")
@pytest.mark.parametrize("damage", ["cut", "flipped", "without its hash"])
def test_a_damaged_library_is_not_taken_and_is_built_anew(workshop: Workshop, damage: str) -> None:
    path = workshop.build()
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        path.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
    else:
        path.with_name(path.name + ".sha256").unlink()
    assert workshop.find() is None
    assert workshop.build() == path
    assert path.read_bytes() != b""
    assert workshop.find() == path


@pytest.mark.usefixtures("needs_compiler")
def test_two_processes_at_once_build_once(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = tmp_path / "calls"
    counting = tmp_path / "counting-c++"
    counting.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nexec c++ "$@"\n')
    counting.chmod(0o755)
    monkeypatch.setenv("CXX", str(counting))
    command = [sys.executable, "-c", BY_HAND, str(workshop.folders[0]), str(workshop.source)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate(timeout=60)[0].strip() for process in both}
    assert printed == {str(workshop.find())}
    assert calls.read_text().count("-c " + str(workshop.source / "once.cpp")) == 1


@pytest.mark.usefixtures("needs_compiler")
def test_where_the_project_cannot_be_written_the_cache_takes_it(workshop: Workshop) -> None:
    workshop.folders[0].write_text("a file where the folder should be")
    path = workshop.build()
    assert path.parent == workshop.folders[1]
    assert workshop.find() == path


def test_where_nothing_can_be_written_it_says_so(workshop: Workshop) -> None:
    for folder in workshop.folders:
        folder.write_text("a file where the folder should be")
    with pytest.raises(KernelsUnavailable, match=r"cannot be kept: .*/cache cannot be written"):
        workshop.build()


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_it_says_what_to_install(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KernelsUnavailable, match=r"no compiler nowhere/c\+\+, which CXX names.*apt-get install g\+\+"):
        workshop.build()
    monkeypatch.delenv("CXX")
    with pytest.raises(KernelsUnavailable, match=r"There is no C\+\+ compiler here\."):
        workshop.build()


def test_a_compiler_that_fails_is_quoted(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler(tmp_path, monkeypatch, "echo 'in file included from'; echo 'fatal error: no such header' >&2; exit 3")
    with pytest.raises(KernelsUnavailable, match=r"fake-c\+\+ failed: fatal error: no such header"):
        workshop.build()


@pytest.mark.usefixtures("needs_compiler")
def test_a_source_that_does_not_compile_leaves_nothing(workshop: Workshop) -> None:
    workshop.write("wrong.cpp", "// isa: any\nint a = nobody;\n")
    with pytest.raises(KernelsUnavailable, match=r"wrong\.cpp:2:.* error: .*nobody"):
        workshop.build()
    assert [file.name for file in workshop.folders[0].iterdir()] == [".lock"]


@pytest.mark.usefixtures("needs_compiler")
def test_a_library_that_cannot_be_loaded_is_not_kept(workshop: Workshop) -> None:
    workshop.write("unfinished.cpp", '// isa: any\nvoid nowhere();\nextern "C" void (*const hook)() = nowhere;\n')
    with pytest.raises(KernelsUnavailable, match="undefined symbol"):
        workshop.build()
    assert workshop.find() is None


def test_a_hung_compiler_is_ended_with_all_that_it_started(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compiler(tmp_path, monkeypatch, "sleep 1000")
    with pytest.raises(KernelsUnavailable, match=r"not done after 1 s\."):
        workshop.build(seconds=1)
    assert not lives(int(path.with_name(path.name + ".pid").read_text()))


def test_a_build_can_be_stopped(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compiler(tmp_path, monkeypatch, "sleep 1000")
    patience = Patience(60)
    errors: list[Exception] = []

    def run() -> None:
        try:
            build.build(workshop.folders, workshop.source, patience)
        except KernelsUnavailable as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    pid = path.with_name(path.name + ".pid")
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.005)
    patience.stopped.set()
    thread.join(10)
    assert [str(error) for error in errors] == ["The work was stopped."]
    assert not lives(int(pid.read_text()))


@pytest.mark.usefixtures("needs_compiler")
def test_by_hand_it_says_where_the_library_lies(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main([str(workshop.folders[1])], workshop.source) == 0
    path = str(workshop.find())
    assert capsys.readouterr().out.endswith(f" s: {path}\n")
    assert build.main([str(workshop.folders[1])], workshop.source) == 0
    assert capsys.readouterr().out == f"The kernels are built already: {path}\n"


@pytest.mark.usefixtures("no_compiler")
def test_by_hand_it_says_why_not(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main([str(workshop.folders[0])], workshop.source) == 1
    assert capsys.readouterr().err.startswith("The kernels cannot be built. ")


def test_the_builder_needs_no_torch() -> None:
    code = "import engine.kernels.build, sys; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
