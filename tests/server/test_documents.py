from __future__ import annotations

import asyncio
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server import arrivals, documents
from server.documents import Documents, Format, ImportBusy
from server.exchange import own, scanner
from server.exchange.draft import DocumentError
from server.history.records import LOCAL, Change, HistoryError, RunRecord, Stored
from server.history.store import History
from server.protocol import ChatParams, SnapshotMessage, UsageInfo
from tests.postgresql import INSTALLED, MISSING, running_cluster
from tests.server.document_desk import DATA, NOW, TEA, Desk, content, desk, run
from tests.server.exchange.conversations import ai, conversation, stored, user


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(stored(), min_size=1, max_size=4, unique_by=lambda each: each.about.id))
def test_exported_wiped_and_imported_is_identical(tmp_path: Path, kept: list[Stored]) -> None:
    async def go() -> None:
        now = time.monotonic_ns()
        first, second = (f"sqlite:///{now}-{name}.db" for name in ("before", "after"))
        async with desk(tmp_path, first) as before, desk(tmp_path, second) as after:
            await before.keep(*kept)
            document = await content(await before.documents.export_all(LOCAL, "json"))
            came = await after.documents.import_(LOCAL, document)
            assert (len(came.sessions), came.skipped, came.problems) == (len(kept), 0, [])
            assert await after.everything() == await before.everything()
            again = await after.documents.import_(LOCAL, document)
            assert (again.sessions, again.skipped) == ([], len(kept))

    asyncio.run(go())


@pytest.mark.skipif(not INSTALLED, reason=MISSING)
def test_conversations_move_from_one_kind_of_database_to_the_other_and_back(tmp_path: Path) -> None:
    grown = conversation(
        user("q", "Tea? 🍵\n", at=1.5, cmd_id="c", run="b"),
        ai("a", "Yes.", "q", selected=False, params=ChatParams(seed=2**62, stop=["\n"]), reasoning="Hm."),
        ai("b", "No.", "q", usage=UsageInfo(prompt_tokens=1, completion_tokens=2), at=1_700_000_000.123456),
        SnapshotMessage(id="notice-4", parent_id="b", role="notice", message="From here on c/d answers."),
        user("r", "Why?", "b", selected=False),
    )

    async def go(first: str, second: str) -> None:
        async with desk(tmp_path, first) as one, desk(tmp_path) as two, desk(tmp_path, second) as three:
            await one.keep(grown)
            for before, after in ((one, two), (two, three)):
                document = await content(await before.documents.export_all(LOCAL, "json"))
                assert (await after.documents.import_(LOCAL, document)).sessions == [grown.about.id]
                assert await after.everything() == await one.everything()

    with running_cluster() as cluster:
        asyncio.run(go(cluster.make_database(), cluster.make_database()))


def test_one_conversation_is_exported_whole_or_readable(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        await at.keep(TEA)
        whole = await at.documents.export(LOCAL, TEA.about.id, "json")
        readable = await at.documents.export(LOCAL, TEA.about.id, "markdown")
        assert whole is not None
        assert readable is not None
        assert (whole.name, readable.name) == ("Tea.json", "Tea.md")
        assert len(json.loads(await content(whole))["sessions"][0]["messages"]) == 3
        assert (await content(readable)).startswith(b"# Tea\n")
        assert await at.documents.export(LOCAL, "cd" * 16, "json") is None
        assert await at.documents.export("somebody else", TEA.about.id, "json") is None

    run(tmp_path, work)


def test_all_conversations_are_files_in_a_zip(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        await at.keep(*(replace(TEA, about=replace(TEA.about, id=f"{number:032x}")) for number in range(3)))
        data = await content(await at.documents.export_all(LOCAL, "markdown"))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["Tea.md", "Tea (2).md", "Tea (3).md"]

    run(tmp_path, work)


@pytest.mark.parametrize("form", ["json", "markdown"])
def test_nothing_is_exported_as_an_empty_document(tmp_path: Path, form: Format) -> None:
    async def work(at: Desk) -> None:
        data = await content(await at.documents.export_all(LOCAL, form))
        if form == "json":
            assert (await at.documents.import_(LOCAL, data)).sessions == []
        else:
            assert zipfile.ZipFile(io.BytesIO(data)).namelist() == []

    run(tmp_path, work)


def test_bad_conversations_are_counted_and_told(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        good = json.loads((DATA / "chatgpt.json").read_bytes())
        came = await at.documents.import_(LOCAL, json.dumps([{"mapping": 3}, *good, "x"]).encode())
        assert (len(came.sessions), came.skipped) == (2, 2)
        assert came.problems == [
            "Conversation 1 mapping is not an object.",
            "Conversation 4 is in no form that is known here.",
        ]

    run(tmp_path, work)


def test_what_came_in_before_a_document_broke_off_stays(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        whole = (DATA / "chatgpt.json").read_bytes().rstrip().removesuffix(b"]")
        with pytest.raises(DocumentError, match=r"not valid JSON at byte [\d,]+. 2 conversations came in before that."):
            await at.documents.import_(LOCAL, whole + b"oh")
        assert len(await at.everything()) == 2

    run(tmp_path, work)


def test_one_import_at_a_time() -> None:
    async def nothing() -> History:
        raise HistoryError("Off.")

    desk_ = Documents(nothing, lambda _: False, lambda _: None, lambda: NOW)
    with desk_.turn(), pytest.raises(ImportBusy), desk_.turn():
        pass
    with desk_.turn(), pytest.raises(HistoryError):
        asyncio.run(desk_.import_(LOCAL, b"[]"))


def test_what_is_being_written_is_exported_as_far_as_it_is(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        running = conversation(user("q", "Tea?"), ai("a", "Ye", "q", finish_reason=None))
        run_ = RunRecord("a", {})
        await at.history.write([Change(running.about, 2, running.messages, run=run_)])
        document = await content(await at.documents.export(LOCAL, running.about.id, "json"))
        answer = json.loads(document)["sessions"][0]["messages"][1]
        assert answer["message"] == "Ye"
        assert "finish_reason" not in answer

    run(tmp_path, work)


def test_documents_are_read_and_written_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long with a large document happens in other threads."""
    threads: dict[str, set[int]] = {}

    def spied(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def spy(*arguments: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return work(*arguments)

        return spy

    async def work(at: Desk) -> None:
        for module, name in (
            (documents, "markdown"), (arrivals, "fingerprint"), (own, "session_json"), (own, "document"),
            (own, "read"), (scanner, "value"), (zipfile.ZipFile, "writestr"),
        ):  # fmt: skip
            monkeypatch.setattr(module, name, spied(name, getattr(module, name)))
        await at.keep(TEA)
        document = await content(await at.documents.export(LOCAL, TEA.about.id, "json"))
        await content(await at.documents.export(LOCAL, TEA.about.id, "markdown"))
        for form in ("json", "markdown"):
            await content(await at.documents.export_all(LOCAL, form))
        await at.documents.import_(LOCAL, document)
        assert len(threads) == 7
        assert threading.get_ident() not in set[int]().union(*threads.values())

    run(tmp_path, work)
