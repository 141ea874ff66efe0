from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from server.exchange import own
from server.history.records import LOCAL, Change
from tests.server.document_desk import DATA, TEA, Desk, content, run
from tests.server.exchange.conversations import conversation, user


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


def test_an_id_that_a_document_has_twice_is_given_once(tmp_path: Path) -> None:
    async def work(at: Desk) -> None:
        whole = json.loads(own.document(TEA, 0.0))
        [tea] = whole["sessions"]
        other = json.loads(json.dumps(tea).replace("Yes.", "Maybe."))
        came = await at.documents.import_(LOCAL, json.dumps({**whole, "sessions": [tea, other, tea]}).encode())
        assert (came.sessions[0], len(set(came.sessions)), came.skipped) == (TEA.about.id, 2, 1)

    run(tmp_path, work)
