"""Which C++ sources the kernels have, and how each is compiled. Knows no compiler.

The first line of a source says for which instruction sets it is compiled: `// isa: any` once, for every processor of
its kind; `// isa: each` once for every set below, with `ISA` defined as the set's name. All of it goes into one
library, whose own code picks the set that the processor has: built on one machine, it serves all of its kind.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from engine.errors import KernelsUnavailable

SOURCES = Path(__file__).resolve().parent / "src"

# No option that would let a compiler change the order of floating-point operations, nor fuse them: a result depends on
# the sources alone, not on the compiler. Nothing may depend on the machine that compiles (`-march=native`) either.
COMMON = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-exceptions",
    "-fno-rtti",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-pthread",
)
_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni")
# The sets of each kind of processor, from what all of them have to what few have.
SETS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "portable": (),
        "avx2": ("-mavx2", "-mfma", "-mf16c"),
        "avx512": (*_AVX512, "-mfma", "-mf16c", "-mprefer-vector-width=512"),
    },
    "aarch64": {"portable": ()},  # which has NEON, fused products and half precision
}
_OTHER_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
_MARKS = {b"// isa: any": False, b"// isa: each": True}


@dataclass(slots=True, frozen=True)
class Unit:
    """One run of the compiler."""

    source: Path
    name: str  # of the object file
    flags: tuple[str, ...]


def machine() -> str:
    """The kind of processor, such as x86_64, by one name on every system."""
    name = platform.machine().lower()
    return _OTHER_NAMES.get(name, name)


def units(folder: Path = SOURCES, kind: str = "") -> list[Unit]:
    """What is compiled for processors of that `kind`, by default this machine's, in the order it must be linked in.

    What asks least of a processor comes first. Of an inline function that several objects hold, a linker keeps the
    first: one with wide instructions would else be run by a processor that lacks them.

    Raises KernelsUnavailable if there is nothing to compile.
    """
    sources = sorted(folder.glob("*.cpp"))
    if not sources:
        raise KernelsUnavailable(f"There are no sources in {folder}.")
    found = [Unit(source, f"{source.stem}.o", ()) for source in sources if not _is_for_each_set(source)]
    for name, flags in SETS.get(kind or machine(), {"portable": ()}).items():
        for source in filter(_is_for_each_set, sources):
            found.append(Unit(source, f"{source.stem}.{name}.o", (f"-DISA={name}", *flags)))
    return found


def digest(folder: Path = SOURCES, kind: str = "") -> str:
    """Says which library the sources make: another one for any change in them, the flags, or the kind of processor.

    Raises KernelsUnavailable as `units` does.
    """
    state = hashlib.sha256(f"{sys.platform} {kind or machine()} {COMMON}".encode())
    for unit in units(folder, kind):
        state.update(f"\n{unit.name} {unit.flags}".encode())
    for file in sorted([*folder.glob("*.cpp"), *folder.glob("*.h")]):
        content = file.read_bytes()
        state.update(f"\n{file.name} {len(content)}\n".encode() + content)
    return state.hexdigest()[:16]


def _is_for_each_set(source: Path) -> bool:
    first = source.read_bytes().partition(b"\n")[0].strip()
    assert first in _MARKS, f"The first line of {source.name} says for which instruction sets it is."
    return _MARKS[first]
