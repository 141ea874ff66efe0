from __future__ import annotations

import io
import urllib.request
from pathlib import Path

import pytest

from tests.tools.conftest import Shelf
from tools.download import ATTEMPTS, AccessRefused, DownloadError, Progress, download

CONTENT = bytes(range(256)) * 4000  # 1 MB


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def bring(url: str, part: Path, stream: io.StringIO | None = None) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    download(url, part, progress=Progress("model", stream or io.StringIO()), opener=opener, pause_s=0)


@pytest.fixture
def url(shelf: Shelf) -> str:
    shelf.files["/model"] = CONTENT
    return shelf.url("/model")


def test_a_whole_file_arrives(url: str, tmp_path: Path) -> None:
    bring(url, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_after_a_cut_it_goes_on_where_it_stopped(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.cuts = [300_000, 400_000]
    bring(url, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert shelf.ranges == [None, "bytes=300000-", "bytes=700000-"]


def test_it_goes_on_from_an_earlier_start_of_the_program(shelf: Shelf, url: str, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT[:1234])
    bring(url, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert shelf.ranges == ["bytes=1234-"]


def test_a_server_that_ignores_range_is_read_from_the_start(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.knows_range = False
    (tmp_path / "part").write_bytes(b"something else" * 1000)
    bring(url, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_part_that_is_whole_is_left_alone(shelf: Shelf, url: str, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT)
    bring(url, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(url: str, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT + b"more")
    bring(url, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_server_in_trouble_is_asked_again(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.statuses = [503, 429, 0]
    bring(url, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_server_that_never_gives_a_byte_is_given_up(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.cuts = [0] * (ATTEMPTS + 1)
    with pytest.raises(DownloadError, match="keeps hanging up"):
        bring(url, tmp_path / "part")
    assert len(shelf.ranges) == ATTEMPTS


def test_a_missing_file_is_not_asked_for_twice(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.statuses = [404]
    with pytest.raises(DownloadError, match="answered 404"):
        bring(url, tmp_path / "part")
    assert len(shelf.ranges) == 1


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_closed_door_is_told_apart(shelf: Shelf, url: str, tmp_path: Path, status: int) -> None:
    shelf.statuses = [status]
    with pytest.raises(AccessRefused, match=str(status)):
        bring(url, tmp_path / "part")


def test_a_file_on_this_machine_is_brought_too(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    bring((tmp_path / "source").as_uri(), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_progress_is_a_line_each_tenth_where_there_is_no_terminal(url: str, tmp_path: Path) -> None:
    lines = io.StringIO()
    progress = Progress("model", lines)
    for done in range(1001):
        progress.show(done * 10**6, 10**9)
    progress.close()
    assert len(lines.getvalue().splitlines()) == 11
    assert lines.getvalue().splitlines()[5].startswith("model:  50 %  500 of 1000 MB, ")


def test_progress_redraws_one_line_on_a_terminal(url: str, tmp_path: Path) -> None:
    terminal = Terminal()
    progress = Progress("model", terminal)
    for done in range(1001):
        progress.show(done * 10**6, 10**9)
    progress.close()
    assert terminal.getvalue().count("\r") == 101
    assert terminal.getvalue().count("\n") == 1
    assert "████████████░░░░░░░░░░░░  50 %" in terminal.getvalue()
