"""Builds the kernels' library where a C++ compiler is: `python -m engine.kernels.build [FOLDER]`.

Once for each state of the sources: a library is kept under their fingerprint and found again by it. Two processes that
want it at once build it once. Standard library only: an image's build stage runs this without torch.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from engine.errors import KernelsUnavailable
from engine.kernels import sources
from engine.kernels.compiler import Compiler, Patience, find_compiler, run_all
from engine.kernels.store import alone, choose_folder, find_in, fingerprint_of, keep, library_name, workplace
from engine.kernels.store import usual_folders as usual_folders

SECONDS = 600.0  # after which a compiler is taken to hang: a busy machine takes a minute

# Whether a new library can be loaded and is the one it should be. In a process of its own, which may die of it.
_TRIAL = "import ctypes, sys; f = ctypes.CDLL(sys.argv[1]).kernels_fingerprint; f.restype = ctypes.c_char_p; "
_TRIAL += "sys.exit(f().decode() != sys.argv[2] and 'error: it is not what was built')"


def find(folders: list[Path] | None = None, source: Path = sources.SOURCES) -> Path | None:
    """The library that was built from the sources as they are, whoever built it. Needs no compiler."""
    try:
        digest = sources.digest(source)
    except KernelsUnavailable:
        return None
    found = (find_in(folder, digest) for folder in folders or usual_folders())
    return next((library for library in found if library is not None), None)


def build(folders: list[Path] | None = None, source: Path = sources.SOURCES, patience: Patience | None = None) -> Path:
    """The library, built into the first of the `folders` that can be written unless some folder has it.

    Raises KernelsUnavailable with a sentence that says why not.
    """
    folders = folders or usual_folders()
    patience = patience or Patience(SECONDS)
    folder = choose_folder(folders)
    try:
        with alone(folder, patience):
            return find(folders, source) or _build(folder, source, patience)
    except OSError as error:
        raise KernelsUnavailable(f"The kernels cannot be built in {folder}: {error.strerror or error}.") from error


def _build(folder: Path, source: Path, patience: Patience) -> Path:
    digest = sources.digest(source)
    with workplace(folder) as work:
        compiler = find_compiler(work, patience)
        name = library_name(digest, compiler.digest)
        made = work / name
        _compile(compiler, source, made, patience)
        run_all([[sys.executable, "-I", "-c", _TRIAL, str(made), fingerprint_of(made)]], work, patience)
        if sources.digest(source) != digest:
            raise KernelsUnavailable("The sources changed while they were compiled.")
        return keep(made, folder, name)


def _compile(compiler: Compiler, source: Path, made: Path, patience: Patience) -> None:
    """Compile and link. `made` is in a folder that takes the objects too."""
    defined = f'-DFINGERPRINT="{fingerprint_of(made)}"'
    objects: list[str] = []
    commands: list[list[str]] = []
    for unit in sources.units(source):
        objects.append(str(made.parent / unit.name))
        options = [*sources.COMMON, *unit.flags, defined]
        commands.append([*compiler.command, *options, "-c", str(unit.source), "-o", objects[-1]])
    # The kernels of the large sets, which come last, take longest: they are begun first.
    run_all(commands[::-1], made.parent, patience, at_once=os.cpu_count() or 1)
    link = [*compiler.command, "-shared", "-pthread", *objects, "-o", str(made), *compiler.linking]
    run_all([link], made.parent, patience)


def main(arguments: list[str], source: Path = sources.SOURCES) -> int:
    """Build by hand, into a folder if one is named. 0 when the library is there."""
    folders = [Path(name).absolute() for name in arguments] or usual_folders()
    began = time.monotonic()
    try:
        library = find(folders, source)
        if library is not None:
            print(f"The kernels are built already: {library}")
            return 0
        library = build(folders, source)
    except KernelsUnavailable as error:
        print(f"The kernels cannot be built. {error}", file=sys.stderr)
        return 1
    print(f"The kernels are built, in {time.monotonic() - began:.0f} s: {library}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
