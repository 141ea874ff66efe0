"""How the databases go about a question: down an index and as far as needed, not through everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event

from server.history.records import LOCAL
from server.history.store import History
from tests.server.history.conversations import talk

pytestmark = pytest.mark.anyio
CONVERSATIONS = 400


@pytest.fixture
async def plans(history: History) -> list[str]:
    """What the reading statements are from here on, each with its plan."""
    await history.write(
        [talk(f"s{number}", "tea for two", "and milk", updated_at=float(number)) for number in range(CONVERSATIONS)]
    )
    async with history._database.writing() as connection:
        await connection.exec_driver_sql("ANALYZE")
    seen: list[str] = []

    @event.listens_for(history._database._reader.sync_engine, "before_cursor_execute")
    def explain(connection, cursor, statement, parameters, context, many):  # type: ignore[no-untyped-def]
        if statement.lstrip().startswith("SELECT"):
            how = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
            cursor.execute(f"{how} {statement}", parameters)
            seen.append("\n".join(str(row[-1]) for row in cursor.fetchall()))

    return seen


async def test_a_page_of_the_list_is_read_off_its_index(history: History, plans: list[str]) -> None:
    first = await history.list(LOCAL, limit=20)
    await history.list(LOCAL, limit=20, before=first.next)
    for plan in plans:
        assert "sessions_listed" in plan, plan
        assert "TEMP B-TREE" not in plan, f"Nothing needs to be sorted: {plan}"
        assert "Sort" not in plan.replace("Incremental Sort", ""), f"Nothing needs to be sorted: {plan}"
    assert len(plans) == 2


async def test_a_conversation_is_read_by_its_key(history: History, plans: list[str]) -> None:
    await history.load(LOCAL, "s7")
    for plan in plans[:1]:
        assert "sessions_key" in plan or "sqlite_autoindex_sessions" in plan, plan
    assert "messages_key" in plans[1] or "sqlite_autoindex_messages" in plans[1], plans[1]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_search_on_sqlite_goes_through_the_index_of_words(history: History, plans: list[str]) -> None:
    await history.search(LOCAL, "tea milk")
    for plan in plans[:2]:
        assert plan.startswith("SCAN entries_index VIRTUAL TABLE"), plan
        assert "TEMP B-TREE" not in plan, f"The newest come first without sorting: {plan}"


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_postgresql_has_an_index_of_words(history: History) -> None:
    """It goes through it where that pays, which is for words that are rare."""
    async with history._database.reading() as connection:
        await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        await connection.exec_driver_sql("SET LOCAL enable_indexscan = off")
        plan = await connection.exec_driver_sql(
            "EXPLAIN SELECT * FROM entries WHERE words @@ CAST('''xylophone'':*' AS tsquery)"
        )
        assert "entries_words" in "\n".join(row[0] for row in plan)


async def test_what_is_asked_of_the_index_does_not_depend_on_where_the_file_is(tmp_path: Path) -> None:
    """A folder's name may hold what a URL or a template would act upon."""
    folder = tmp_path / "50 % of #tea? & more"
    folder.mkdir()
    for expected in (set(), {"s1"}):
        history = await History.open("sqlite:///data/switchboard.db", folder)
        assert set(await history.ids(LOCAL)) == expected
        await history.write([talk("s1", "tea")])
        assert len(await history.search(LOCAL, "tea")) == 1
        await history.close()
