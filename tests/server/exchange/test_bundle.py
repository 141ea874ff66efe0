from __future__ import annotations

import io
import zipfile

from server.exchange.bundle import Bundle


def test_files_come_out_as_they_went_in() -> None:
    bundle, pieces = Bundle(), []
    for stem, content in (("Tea", "a"), ("tea", "b"), ("Tea", "c" * 100_000), ("Größe", "é\ud800")):
        bundle.add(stem, ".md", content, 1_700_000_000.0)
        pieces.append(bundle.taken())
    bundle.end()
    pieces.append(bundle.taken())
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["Tea.md", "tea (2).md", "Tea (3).md", "Größe.md"]
        assert archive.read("Tea (3).md") == b"c" * 100_000
        assert archive.read("Größe.md") == "é?".encode()
        assert archive.infolist()[0].date_time == (2023, 11, 14, 22, 13, 20)
    assert all(pieces), "Each file is there as soon as it is in."


def test_times_that_a_zip_cannot_have_are_the_nearest() -> None:
    bundle = Bundle()
    for at in (0.0, 1e11):
        bundle.add("a", ".md", "", at)
    bundle.end()
    with zipfile.ZipFile(io.BytesIO(bundle.taken())) as archive:
        assert [entry.date_time[0] for entry in archive.infolist()] == [1980, 2107]


def test_many_files_of_one_name_are_numbered_in_no_time() -> None:
    bundle = Bundle()
    for _ in range(3_000):
        bundle.add("New chat", ".md", "", 0.0)
    bundle.end()
    assert b"New chat (3000).md" in bundle.taken()
