"""Finding conversations, on every database."""

from __future__ import annotations

import pytest

from server.history.records import LOCAL, Found
from server.history.search import MESSAGES, TITLES
from server.history.store import History
from tests.server.history.conversations import about, answer, change, records, running, talk, user

pytestmark = pytest.mark.anyio


async def hits(history: History, question: str) -> list[tuple[str, str | None]]:
    return [(found.about.id, found.message_id) for found in await history.search(LOCAL, question)]


def shown(found: Found) -> list[str]:
    return [found.snippet[start:end] for start, end in found.marks]


async def test_words_are_found_from_their_beginning_as_a_person_types(history: History) -> None:
    await history.write([talk("s1", "How do I brew Genmaicha?", "With water of 80 °C.", title="Brewing")])
    for question in ("g", "gen", "genmaicha", "GENMAI", "brew gen", "water 80"):
        assert [found.about.id for found in await history.search(LOCAL, question)] == ["s1"], question
    for question in ("maicha", "brew water", "genmaichas", ""):
        assert await history.search(LOCAL, question) == [], question


async def test_a_hit_is_shown_with_the_words_around_it(history: History) -> None:
    await history.write([talk("s1", "Which café?", "The *Café Central* is the best one.", title="Vienna")])
    found = (await history.search(LOCAL, "cafe central"))[0]
    assert (found.about.title, found.message_id) == ("Vienna", "m1")
    assert found.snippet == "The *Café Central* is the best one."
    assert shown(found) == ["Café", "Central"]


async def test_a_hit_in_the_title_alone_shows_the_title(history: History) -> None:
    await history.write([talk("s1", "Hello", title="Tea ceremony")])
    found = (await history.search(LOCAL, "cerem"))[0]
    assert (found.message_id, found.snippet, shown(found)) == (None, "Tea ceremony", ["cerem"])


async def test_a_conversation_is_found_once_with_the_best_of_its_messages(history: History) -> None:
    lines = ["tea", "green tea", "category tea", "nothing", "greenish tea"]
    await history.write([talk("s1", *lines, title="Other")])
    assert await hits(history, "tea") == [("s1", "m4")]
    assert await hits(history, "green tea") == [("s1", "m1")], "a whole word is better than the beginning of one"


async def test_titles_weigh_more_and_the_newest_comes_first_among_equals(history: History) -> None:
    await history.write(
        [
            talk("old", "tea", title="x", updated_at=1.0),
            talk("new", "tea", title="x", updated_at=3.0),
            talk("titled", "coffee", title="Tea", updated_at=0.0),
            talk("beginning", "teapot", title="x", updated_at=9.0),
        ]
    )
    assert await hits(history, "tea") == [("titled", None), ("new", "m0"), ("old", "m0"), ("beginning", "m0")]


@pytest.mark.parametrize("question", ["日", "本", "日本", "日本語", "京都", "東京 日本", "🫖", "ไทย", "한국"])
async def test_scripts_without_spaces_are_found_in_the_middle(history: History, question: str) -> None:
    await history.write([talk("s1", "私は東京都で日本語を学ぶ🎉🫖 ภาษาไทย 대한국"), talk("s2", "語日本")])
    assert ("s1", "m0") in await hits(history, question)


async def test_characters_that_are_not_next_to_each_other_are_no_hit(history: History) -> None:
    await history.write([talk("s1", "日本と本語", title="日本と本語")])
    assert await hits(history, "日本語") == []


@pytest.mark.parametrize(
    "question",
    ['"', "'", "''", "*", '"tea', "tea*", "tea)", "(tea", "^tea", "tea:", "-tea", "tea AND", "NOT tea", "NEAR(tea, 2)",
     "words : tea", "tea & !", "tea <-> |", "\\tea", "tea\0", "%tea_", "tea; DROP TABLE entries", "\ud800tea",
     "tea " * 999],
)  # fmt: skip
async def test_no_question_is_read_as_anything_but_words(history: History, question: str) -> None:
    await history.write([talk("s1", "tea not near and 2 words drop table entries")])
    found = await history.search(LOCAL, question)
    assert [hit.about.id for hit in found] == (["s1"] if "tea" in question else [])


async def test_the_index_follows_every_change(history: History) -> None:
    await history.write([talk("s1", "tea", "milk", title="One")])
    await history.write([change(about(title="Two"), user("m0", "coffee"))])
    assert await hits(history, "tea") == []
    assert await hits(history, "coffee") == [("s1", "m0")]
    assert await hits(history, "one") == []
    assert await hits(history, "two") == [("s1", None)]
    await history.update(LOCAL, "s1", title="Three")
    assert await hits(history, "two") == []
    assert await hits(history, "three") == [("s1", None)]
    await history.write([change(about(title="Three"), removed=["m1"])])
    assert await hits(history, "milk") == []


async def test_what_is_hidden_is_not_found_and_what_is_purged_leaves_nothing(history: History) -> None:
    await history.write([talk("s1", "tea", title="Tea")])
    await history.delete(LOCAL, "s1")
    assert await hits(history, "tea") == []
    await history.restore(LOCAL, "s1")
    assert await hits(history, "tea") == [("s1", "m0")]
    await history.delete(LOCAL, "s1")
    await history.purge(before=10e9)
    await history.write([talk("s1", "milk", title="Milk")])
    assert await hits(history, "tea") == []


async def test_an_answer_is_found_when_it_is_done(history: History) -> None:
    await history.write([running()])
    assert await hits(history, "sencha") == []
    done = answer("a1", "Try Sencha.", "u1")
    await history.write([change(about(), messages=records(user("u1", "Which tea?"), done), ended=["a1"])])
    assert await hits(history, "sencha") == [("s1", "a1")]


async def test_owners_do_not_find_each_others_words(history: History) -> None:
    """Not even when they fill all the places that are looked at."""
    theirs = [
        talk(f"t{number}", *["tea"] * 6, owner="them", title="Tea") for number in range(max(TITLES, MESSAGES // 6) + 1)
    ]
    await history.write([talk("mine", "tea"), *theirs])
    assert await hits(history, "tea") == [("mine", "m0")]
    assert await history.search("nobody", "tea") == []


async def test_no_more_is_given_than_was_asked_for(history: History) -> None:
    await history.write([talk(f"s{number}", "tea", updated_at=float(number)) for number in range(20)])
    found = await history.search(LOCAL, "tea", limit=3)
    assert [hit.about.id for hit in found] == ["s19", "s18", "s17"]


async def test_very_long_texts_are_stored_and_found(history: History) -> None:
    await history.write([talk("s1", " ".join(f"wörd{number}日本" for number in range(100_000)), "x" * 300_000)])
    assert await hits(history, "word99") == [("s1", "m0")]
    assert await hits(history, "x" * 200) == [("s1", "m1")]
