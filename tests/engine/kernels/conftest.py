"""Sources small enough to be compiled within a test, and a place to keep what comes of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.kernels import build
from engine.kernels.compiler import CANDIDATES, Patience

SECONDS = 60.0  # more than anything here takes on a busy machine
ONCE = """// isa: any
#include "answer.h"
extern "C" __attribute__((visibility("default"))) const char* kernels_fingerprint(void) { return FINGERPRINT; }
extern "C" __attribute__((visibility("default"))) int answer(void) { return ANSWER; }
"""
EACH = """// isa: each
#include "lanes.h"
#define JOINED(a, b) a##b
#define NAMED(a, b) JOINED(a, b)
extern "C" __attribute__((visibility("default"))) int NAMED(lanes_, ISA)(void) { return OWN_LANES; }
extern "C" __attribute__((visibility("default"))) int NAMED(shared_, ISA)(void) { return lanes(); }
"""
LANES = """
#if defined(__AVX512VNNI__)
#define OWN_LANES 16
#elif defined(__AVX2__)
#define OWN_LANES 8
#else
#define OWN_LANES 4
#endif
__attribute__((noinline)) inline int lanes() { return OWN_LANES; }
"""


@dataclass(slots=True, frozen=True)
class Workshop:
    """Sources, and the folders that what is built from them may go to."""

    source: Path
    folders: list[Path]

    def build(self, seconds: float = SECONDS) -> Path:
        return build.build(self.folders, self.source, Patience(seconds))

    def find(self) -> Path | None:
        return build.find(self.folders, self.source)

    def write(self, name: str, text: str) -> None:
        (self.source / name).write_text(text)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path / "src", [tmp_path / "built", tmp_path / "cache"])
    made.source.mkdir()
    made.write("once.cpp", ONCE)
    made.write("each.cpp", EACH)
    made.write("lanes.h", LANES)
    made.write("answer.h", "#define ANSWER 42\n")
    return made


@pytest.fixture
def needs_compiler() -> None:
    """Skips loudly where nothing can be compiled."""
    if not any(map(shutil.which, CANDIDATES)):
        pytest.skip("NO C++ COMPILER HERE: what is built from sources was not tested. Install g++.")
