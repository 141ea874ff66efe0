from __future__ import annotations

import asyncio
import io
import json
import threading
import time
import zipfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server import documents
from server.documents import Documents, Export, Format, ImportBusy
from server.exchange import own, scanner
from server.exchange.draft import DocumentError
from server.exchange.own import told
from server.history.records import LOCAL, About, Change, HistoryError, RunRecord, Stored
from server.history.store import History
from tests.server.exchange.conversations import ai, conversation, stored, user

DATA = Path(__file__).parent / "exchange" / "data"
NOW = 1_800_000_000.0
TEA = conversation(user("q", "Tea?"), ai("a", "Yes.", "q", selected=False), ai("b", "No.", "q"))


@dataclass
class Desk:
    """Documents over a history of their own."""

    history: History
    documents: Documents
    open_sessions: set[str] = field(default_factory=set)
    shown: list[About] = field(default_factory=list)

    async def keep(self, *kept: Stored) -> None:
        await self.history.write([Change(each.about, each.head, each.messages) for each in kept])

    async def everything(self) -> list[tuple[About, int, list[object]]]:
        loaded = [await self.history.load(LOCAL, each) for each in await self.history.ids(LOCAL)]
        return [(each.about, each.head, list(told(each))) for each in loaded if each]


@asynccontextmanager
async def desk(folder: Path, name: str = "history") -> AsyncGenerator[Desk]:
    history = await History.open(f"sqlite:///{name}.db", folder)
    found: list[Desk] = []

    async def settled() -> History:
        return history

    documents_ = Documents(
        settled, lambda each: each in found[0].open_sessions, lambda about: found[0].shown.append(about), lambda: NOW
    )
    found.append(Desk(history, documents_))
    try:
        yield found[0]
    finally:
        await history.close()


async def content(export: Export | None) -> bytes:
    assert export is not None
    return b"".join([piece async for piece in export.content])


def run(folder: Path, work: object) -> None:
    """Run `work(desk)` with a desk whose history lies in `folder`."""

    async def go() -> None:
        async with desk(folder) as at:
            await work(at)  # type: ignore[operator]

    asyncio.run(go())


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(stored(), min_size=1, max_size=4, unique_by=lambda each: each.about.id))
def test_exported_wiped_and_imported_is_identical(tmp_path: Path, kept: list[Stored]) -> None:
    async def go() -> None:
        names = (f"{time.monotonic_ns()}-before", f"{time.monotonic_ns()}-after")
        async with desk(tmp_path, names[0]) as before, desk(tmp_path, names[1]) as after:
            await before.keep(*kept)
            document = await content(await before.documents.export_all(LOCAL, "json"))
            came = await after.documents.import_(LOCAL, document)
            assert (len(came.sessions), came.skipped, came.problems) == (len(kept), 0, [])
            assert await after.everything() == await before.everything()
            again = await after.documents.import_(LOCAL, document)
            assert (again.sessions, again.skipped) == ([], len(kept))

    asyncio.run(go())


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


@pytest.mark.parametrize(("file", "number"), [("chatgpt", 2), ("open_webui", 2), ("open_webui_old", 1)])
def test_exports_of_others_come_in_once(tmp_path: Path, file: str, number: int) -> None:
    async def work(at: Desk) -> None:
        data = (DATA / f"{file}.json").read_bytes()
        came = await at.documents.import_(LOCAL, data)
        assert (len(came.sessions), came.skipped) == (number, 0)
        assert [about.id for about in at.shown] == came.sessions
        assert all(len(each) == 32 for each in came.sessions)
        await at.history.update(LOCAL, came.sessions[0], title="Mine")
        again = await at.documents.import_(LOCAL, data)
        assert (again.sessions, again.skipped) == ([], number), "It is known, whatever it is called by now."

    run(tmp_path, work)


def test_a_conversation_that_went_on_elsewhere_comes_in_beside_the_one_that_is_here(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        await at.keep(TEA)
        document = await content(await at.documents.export(LOCAL, TEA.about.id, "json"))
        longer = document.replace(b"Yes.", b"Yes, please.")
        [came] = (await at.documents.import_(LOCAL, longer)).sessions
        assert came != TEA.about.id
        assert len(await at.everything()) == 2
        assert (await at.documents.import_(LOCAL, longer)).skipped == 1
        assert (await at.documents.import_(LOCAL, document)).skipped == 1

    run(tmp_path, work)


def test_a_deleted_conversation_is_had_back_by_importing_it(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        await at.keep(TEA)
        before = await at.everything()
        document = await content(await at.documents.export(LOCAL, TEA.about.id, "json"))
        await at.history.delete(LOCAL, TEA.about.id)
        came = await at.documents.import_(LOCAL, document)
        assert (came.sessions, came.skipped) == ([TEA.about.id], 0)
        assert await at.everything() == before

    run(tmp_path, work)


def test_another_version_of_a_deleted_conversation_does_not_bring_that_one_back(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        await at.keep(TEA)
        document = await content(await at.documents.export(LOCAL, TEA.about.id, "json"))
        await at.history.delete(LOCAL, TEA.about.id)
        [came] = (await at.documents.import_(LOCAL, document.replace(b"Yes.", b"Never."))).sessions
        assert came != TEA.about.id
        assert [about.id for about, _, _ in await at.everything()] == [came]

    run(tmp_path, work)


def test_the_id_of_an_open_session_is_not_taken(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        await at.keep(TEA)
        document = await content(await at.documents.export(LOCAL, TEA.about.id, "json"))
        await at.history.delete(LOCAL, TEA.about.id)
        await at.history.purge(time.time() + 10)
        at.open_sessions.add(TEA.about.id)
        [came] = (await at.documents.import_(LOCAL, document)).sessions
        assert came != TEA.about.id

    run(tmp_path, work)


def test_the_same_conversation_twice_in_a_document_comes_in_once(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        both = json.loads((DATA / "chatgpt.json").read_bytes())[:1] * 2
        came = await at.documents.import_(LOCAL, json.dumps(both).encode())
        assert (len(came.sessions), came.skipped) == (1, 1)

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
            (documents, "markdown"), (documents, "fingerprint"), (own, "session_json"), (own, "document"),
            (own, "read"), (scanner, "value"), (zipfile.ZipFile, "writestr"),
        ):  # fmt: skip
            monkeypatch.setattr(module, name, spied(name, getattr(module, name)))
        await at.keep(TEA)
        document = await content(await at.documents.export(LOCAL, TEA.about.id, "json"))
        for form in ("json", "markdown"):
            await content(await at.documents.export_all(LOCAL, form))
        await at.documents.import_(LOCAL, document)
        assert len(threads) == 7
        assert threading.get_ident() not in set[int]().union(*threads.values())

    run(tmp_path, work)


def test_a_long_conversation_is_stored_whole_and_in_portions(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        said = [user("0", "?")] + [user(str(number), "?", str(number - 1)) for number in range(1, 1_201)]
        await at.keep(conversation(*said))
        document = await content(await at.documents.export(LOCAL, TEA.about.id, "json"))
        before = await at.everything()
        await at.history.delete(LOCAL, TEA.about.id)
        await at.history.purge(time.time() + 10)
        portions: list[int] = []
        write = at.history.write

        async def counted(changes: Sequence[Change]) -> None:
            portions.extend(len(change.messages) for change in changes)
            await write(changes)

        at.history.write = counted  # type: ignore[method-assign]
        assert (await at.documents.import_(LOCAL, document)).sessions == [TEA.about.id]
        assert portions == [500, 500, 201]
        assert await at.everything() == before

    run(tmp_path, work)
