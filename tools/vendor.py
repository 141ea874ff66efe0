"""Lays the published builds of the page's libraries into the tree: `python tools/vendor.py`.

Owns which files of which versions are taken, and the manifest that says so. A package is fetched with `npm pack`, its
archive must have the pinned integrity, and its files are copied byte for byte with their licences.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(slots=True, frozen=True)
class Library:
    """One package, pinned: `files` maps a path inside its archive to the name it gets in `folder`."""

    package: str
    version: str
    licence: str
    integrity: str
    folder: str
    files: dict[str, str]


PAGE = "static/vendor"
TESTS = "tests/browser/vendor"

LIBRARIES = (
    Library(
        package="markdown-it",
        version="15.0.3",
        licence="MIT",
        integrity="sha512-+Az7Ojz3iRGu8KYMvJ6xVhvrxP3eE+vEtJX75Ow88XBpcQNV/0lGX5ZynIIBftREo4DC2jsveAMDaeltmm8QvQ==",
        folder=f"{PAGE}/markdown-it",
        files={"dist/browser/markdown-it.esm.min.mjs": "markdown-it.esm.min.mjs", "LICENSE": "LICENSE"},
    ),
    Library(
        package="dompurify",
        version="3.4.18",
        licence="MPL-2.0 OR Apache-2.0",
        integrity="sha512-ofe3wI/uNm68HInABYFJYqQxRw1EaKAjNdrFVKqjUY+UZurvNd2L/HuQe097s/4RivWiZyP6tT7aoT8atjfhwg==",
        folder=f"{PAGE}/dompurify",
        files={"dist/purify.es.mjs": "purify.es.mjs", "LICENSE": "LICENSE", "LICENSE-MPL": "LICENSE-MPL"},
    ),
    Library(
        package="remend",
        version="1.4.0",
        licence="Apache-2.0",
        integrity="sha512-mHiYhhwphs1IgIZmkToKLwJn0U99IjPXuutkA2acrNcG0vlEq2G4TGnd2eT0saIHwh2KjaCpvleHcsd5SAz96A==",
        folder=f"{PAGE}/remend",
        files={"dist/index.js": "remend.js", "LICENSE": "LICENSE"},
    ),
    Library(
        package="@highlightjs/cdn-assets",
        version="11.12.0",
        licence="BSD-3-Clause",
        integrity="sha512-KvOKXODaiFmId9xaq3xc5xCL66wVLUuOngDbO9B/kewbFTqdGbn2nJxNhN3H5R1cgDTVj6R8vH0zgiNDEGjpDw==",
        folder=f"{PAGE}/highlightjs",
        files={"es/highlight.min.js": "highlight.min.js", "LICENSE": "LICENSE"},
    ),
    Library(
        package="axe-core",
        version="4.14.1",
        licence="MPL-2.0",
        integrity="sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        folder=f"{TESTS}/axe-core",
        files={
            "axe.min.js": "axe.min.js",
            "LICENSE": "LICENSE",
            "LICENSE-3RD-PARTY.txt": "LICENSE-3RD-PARTY.txt",
        },
    ),
)


def main() -> None:
    """Fetch every library and write one manifest for each folder of libraries."""
    manifests: dict[str, dict[str, object]] = {}
    for library in LIBRARIES:
        sums = lay(library)
        parent, _, name = library.folder.rpartition("/")
        manifests.setdefault(parent, {})[name] = {
            "package": library.package,
            "version": library.version,
            "licence": library.licence,
            "integrity": library.integrity,
            "sha256": sums,
        }
        sys.stdout.write(f"{library.package} {library.version}: {', '.join(sums)}\n")
    for parent, manifest in manifests.items():
        (ROOT / parent / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def lay(library: Library) -> dict[str, str]:
    """Copy the library's files into its folder; return their SHA-256 by name. Exits when the archive is another one."""
    folder = ROOT / library.folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        archive = pack(library, Path(scratch))
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != library.integrity:
            sys.exit(f"{library.package} {library.version} is not the archive that was pinned: {found}.")
        with tarfile.open(archive) as tar:
            return {name: copy(tar, path, folder / name) for path, name in library.files.items()}


def pack(library: Library, scratch: Path) -> Path:
    """Fetch the package's archive into `scratch`."""
    command = ["npm", "pack", "--silent", f"{library.package}@{library.version}"]
    subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
    return next(scratch.glob("*.tgz"))


def copy(tar: tarfile.TarFile, path: str, target: Path) -> str:
    """Take one file out of the archive; return its SHA-256."""
    member = tar.extractfile(f"package/{path}")
    if member is None:
        sys.exit(f"The archive has no file {path}.")
    content = member.read()
    target.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
