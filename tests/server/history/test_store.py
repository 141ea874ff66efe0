"""What the history promises, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.history.cursors import BadCursor
from server.history.records import LOCAL, Piece
from server.history.store import History
from tests.server.history.conversations import about, answer, change, everything, records, running, talk, user

pytestmark = pytest.mark.anyio


async def test_a_conversation_comes_back_as_it_was_written(history: History) -> None:
    written = change(about(settings={"model": "echo/echo", "params": {"temperature": 0.5}}), *everything(), head=12)
    await history.write([written])
    stored = await history.load(LOCAL, "s1")
    assert stored is not None
    assert stored.about == written.about
    assert stored.head == 12
    assert stored.messages == written.messages
    assert (stored.queue, stored.run, stored.pieces) == ([], None, [])


async def test_writing_twice_is_writing_once(history: History) -> None:
    written = running(pieces=[Piece("reasoning", "Hm", (1, 2)), Piece("content", "Gr", ())])
    written = replace(written, queue=[{"id": "q1", "message": "And milk?"}])
    await history.write([written])
    once = await history.load(LOCAL, "s1")
    await history.write([written, written])
    assert await history.load(LOCAL, "s1") == once


async def test_a_running_answer_grows_piece_by_piece(history: History) -> None:
    await history.write([running(pieces=[Piece("content", "Gr", (1,))])])
    await history.write([running(pieces=[Piece("content", "ee", (2, 3)), Piece("content", "n", (4,))], first_piece=1)])
    stored = await history.load(LOCAL, "s1")
    assert stored is not None
    assert stored.run is not None
    assert (stored.run.id, stored.run.request["params"]) == ("a1", {"seed": 7})
    assert [(piece.text, piece.token_ids) for piece in stored.pieces] == [("Gr", (1,)), ("ee", (2, 3)), ("n", (4,))]
    assert stored.messages[1].message.message == "", "the row keeps the text of when the run began"


async def test_a_run_that_is_over_takes_its_pieces_along(history: History) -> None:
    await history.write([running(pieces=[Piece("content", "Green.", (1,))])])
    done = answer("a1", "Green.", "u1")
    await history.write([change(about(), done, ended=["a1"], messages=records(user("u1", "Which tea?"), done))])
    stored = await history.load(LOCAL, "s1")
    assert stored is not None
    assert (stored.run, stored.pieces) == (None, [])
    assert stored.messages[1].message == done


async def test_the_next_run_takes_the_place_of_one_whose_end_was_not_told(history: History) -> None:
    await history.write([running(pieces=[Piece("content", "Green.", (1,))])])
    following = running()
    assert following.run is not None
    await history.write([replace(following, run=replace(following.run, id="a2"))])
    stored = await history.load(LOCAL, "s1")
    assert stored is not None
    assert stored.run is not None
    assert (stored.run.id, stored.pieces) == ("a2", [])


async def test_removed_messages_are_gone(history: History) -> None:
    await history.write([talk("s1", "Tea?", "Yes.", "Milk?", "No.")])
    await history.write([change(about(), removed=["m2", "m3", "never"])])
    stored = await history.load(LOCAL, "s1")
    assert stored is not None
    assert [record.message.id for record in stored.messages] == ["m0", "m1"]


async def test_the_queue_is_written_whole(history: History) -> None:
    prompts = [{"id": f"q{number}", "message": "and?", "cmd_id": None} for number in range(3)]
    await history.write([replace(talk(), queue=prompts)])
    await history.write([talk()])
    stored = await history.load(LOCAL, "s1")
    assert stored is not None
    assert stored.queue == prompts, "a change that does not speak of the queue leaves it"
    await history.write([replace(talk(), queue=prompts[:0:-1])])
    stored = await history.load(LOCAL, "s1")
    assert stored is not None
    assert stored.queue == prompts[:0:-1]


async def test_two_changes_of_one_conversation_in_a_batch_come_one_after_the_other(history: History) -> None:
    await history.write([talk("s1", "Tea?", "Yes."), change(about(), removed=["m1"]), talk("s2", "Milk?")])
    stored = await history.load(LOCAL, "s1")
    assert stored is not None
    assert [record.message.id for record in stored.messages] == ["m0"]


async def test_text_that_no_database_can_hold_is_still_stored(history: History) -> None:
    await history.write([talk("s1", "half \ud83d a character", "end \0 of string", title="\udc00")])
    stored = await history.load(LOCAL, "s1")
    assert stored is not None
    first, second = (record.message.message for record in stored.messages)
    assert first == "half \ufffd a character"
    assert second.replace("\ufffd", "\0") == "end \0 of string"


async def test_what_is_unfinished_is_known_without_loading_it(history: History) -> None:
    await history.write([running("s1"), talk("s2", "Tea?"), replace(talk("s3"), queue=[{"id": "q", "message": "?"}])])
    await history.write([running("s4")])
    await history.delete(LOCAL, "s4")
    assert sorted(await history.unfinished()) == [(LOCAL, "s1"), (LOCAL, "s3")]


async def test_the_list_shows_pinned_conversations_first_and_then_the_newest(history: History) -> None:
    await history.write([talk(f"s{number}", "Tea?", updated_at=float(number % 4)) for number in range(10)])
    await history.update(LOCAL, "s4", pinned=True)
    shown, cursor = [], None
    for _ in range(4):
        page = await history.list(LOCAL, limit=3, before=cursor)
        shown += [item.id for item in page.items]
        cursor = page.next
    assert shown == ["s4", "s7", "s3", "s6", "s2", "s9", "s5", "s1", "s8", "s0"]
    assert cursor is None


@pytest.mark.parametrize("cursor", ["", "é", "AAAA", "W10", "bnVsbA", "W3RydWUsIDEsIDJd", "W" * 9999])
async def test_a_cursor_that_was_never_given_out_is_refused(history: History, cursor: str) -> None:
    with pytest.raises(BadCursor):
        await history.list(LOCAL, before=cursor)


async def test_what_is_changed_is_changed_alone(history: History) -> None:
    await history.write([talk("s1", "Tea?")])
    renamed = await history.update(LOCAL, "s1", title="Leaves")
    assert renamed == about(title="Leaves", titled=True)
    assert await history.update(LOCAL, "s1", settings={"model": "m"}) == replace(renamed, settings={"model": "m"})
    assert await history.update(LOCAL, "s1") == await history.about(LOCAL, "s1")
    assert await history.update(LOCAL, "s2", title="Nobody's") is None


async def test_a_hidden_conversation_is_nowhere_until_it_is_restored(history: History) -> None:
    await history.write([talk("s1", "Tea?")])
    assert await history.delete(LOCAL, "s1")
    assert not await history.delete(LOCAL, "s1"), "there was nothing left to hide"
    assert await history.load(LOCAL, "s1") is None
    assert await history.about(LOCAL, "s1") is None
    assert await history.update(LOCAL, "s1", title="Back?") is None
    assert not (await history.list(LOCAL)).items
    assert not await history.ids(LOCAL)
    await history.write([talk("s1", "Tea?", "Late news.")])
    assert await history.load(LOCAL, "s1") is None, "what is written late does not bring it back"
    assert await history.restore(LOCAL, "s1") == about()
    stored = await history.load(LOCAL, "s1")
    assert stored is not None
    assert len(stored.messages) == 2


async def test_what_is_hidden_is_known_by_its_id(history: History) -> None:
    await history.write([talk()])
    assert await history.hidden(LOCAL, ["s1", "s2"]) == set()
    await history.delete(LOCAL, "s1")
    assert await history.hidden(LOCAL, ["s1", "s2"]) == {"s1"}
    assert await history.hidden("somebody", ["s1"]) == set()
    await history.restore(LOCAL, "s1")
    assert await history.hidden(LOCAL, ["s1"]) == set()


async def test_purging_takes_what_was_hidden_long_ago(history: History) -> None:
    await history.write([talk(f"s{number}", "Tea?", "Yes.") for number in range(250)])
    for number in range(249):
        await history.delete(LOCAL, f"s{number}")
    assert await history.purge(before=1000.0) == 0
    assert await history.purge(before=10e9) == 249
    assert await history.restore(LOCAL, "s1") is None
    assert await history.ids(LOCAL) == ["s249"]
    await history.write([talk("s1", "Again?")])
    stored = await history.load(LOCAL, "s1")
    assert stored is not None
    assert len(stored.messages) == 1, "nothing of the old one was left"


async def test_all_conversations_are_named_the_oldest_first(history: History) -> None:
    await history.write([talk(f"s{number}", created_at=float(-number)) for number in range(5)])
    assert await history.ids(LOCAL) == ["s4", "s3", "s2", "s1", "s0"]


async def test_nobody_sees_or_touches_another_owners_conversation(history: History) -> None:
    theirs = talk("s1", "Their tea", owner="them")
    await history.write([theirs, talk("s1", "My tea", "is mine")])
    assert (await history.list("them")).items == [theirs.about]
    assert await history.update("nobody", "s1", title="x") is None
    assert await history.load("nobody", "s1") is None
    assert not await history.delete("nobody", "s1")
    assert await history.restore("nobody", "s1") is None
    assert await history.delete(LOCAL, "s1")
    stored = await history.load("them", "s1")
    assert stored is not None
    assert [record.message.message for record in stored.messages] == ["Their tea"]
    assert await history.ids("them") == ["s1"]


async def test_the_ids_that_others_have_are_known_the_hidden_ones_included(history: History) -> None:
    await history.write([talk("s1", owner="them"), talk("s2", owner="others"), talk("s3")])
    await history.delete("others", "s2")
    assert await history.ids_of_others(LOCAL) == {"s1", "s2"}
