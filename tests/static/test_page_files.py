"""The page's files as they lie in the tree: what is vendored, what a first visit costs, what may never be in them."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
STATIC = ROOT / "static"
FIRST_PAINT_BYTES = 250_000
LATER = {"highlight.min.js"}  # fetched with the first block of code
OWN = sorted(path for path in STATIC.rglob("*.*") if "vendor" not in path.parts)
OWN_CODE = [path for path in OWN if path.suffix == ".js"]


@pytest.mark.parametrize("folder", ["static/vendor", "tests/browser/vendor"])
def test_vendored_files_are_the_published_ones_and_have_their_licences(folder: str) -> None:
    manifest = json.loads((ROOT / folder / "manifest.json").read_text())
    listed = set()
    for library, facts in manifest.items():
        assert facts["licence"], library
        assert re.fullmatch(r"\d+\.\d+\.\d+", facts["version"])
        assert any(name.startswith("LICENSE") for name in facts["sha256"]), f"{library} lies here without its licence."
        for name, sha256 in facts["sha256"].items():
            path = ROOT / folder / library / name
            listed.add(path)
            assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, f"{path} is not what was published."
    found = {path for path in (ROOT / folder).rglob("*") if path.is_file() and path.name != "manifest.json"}
    assert found == listed, "Every vendored file is in the manifest."


def test_a_first_visit_costs_less_than_the_budget() -> None:
    vendored = [path for path in (STATIC / "vendor").rglob("*.*js") if path.name not in LATER]
    costs = {path.name: len(gzip.compress(path.read_bytes())) for path in (*OWN, *vendored)}
    assert sum(costs.values()) <= FIRST_PAINT_BYTES, costs


def test_the_document_holds_no_script_style_or_handler() -> None:
    document = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", document), "A script stands in the document."
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", document)


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_of_ours_reaches_out(path: Path) -> None:
    addresses = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", path.read_text())
    assert [address for address in addresses if "www.w3.org" not in address] == []


@pytest.mark.parametrize("path", OWN_CODE, ids=lambda path: path.name)
def test_text_never_becomes_markup_by_itself(path: Path) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|setInterval"
    assert not re.search(forbidden, path.read_text())


@pytest.mark.parametrize("name", ["store.js", "socket.js", "conversations.js", "history_api.js", "search.js"])
def test_state_and_connection_know_no_document(name: str) -> None:
    path = STATIC / name
    code = re.sub(r"/\*.*?\*/|//.*", "", path.read_text(), flags=re.DOTALL)
    assert not re.search(r"\bdocument\b|\./view/|\bHTMLElement\b", code)


@pytest.mark.parametrize("path", OWN_CODE, ids=lambda path: path.name)
def test_a_module_opens_with_what_it_owns_and_stays_short(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("/**"), "It says first what it owns."
    assert len(text.splitlines()) <= 300
