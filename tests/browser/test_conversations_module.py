"""The list's state without its drawing: pages that are merged, frames that come meanwhile, changes taken back, days."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.chat_page import ChatPage

pytestmark = pytest.mark.browser

# A server in a few lines: pages of three, sorted as the real one sorts; `held` requests wait until they are let go.
PRELUDE = """
    const { Conversations, compare } = await import("/static/conversations.js");
    const { HistoryRefused } = await import("/static/history_api.js");
    const kept = new Map();
    const keep = (id, updated, more = {}) => {
        kept.set(id, { id, title: id, pinned: false, running: false, created: 0, updated, ...more });
        return kept.get(id);
    };
    const asked = [];
    let refusal = null, held = null;
    const answer = async (question, make) => {
        asked.push(question);
        const answer = refusal ? null : make();
        if (held) await held.promise;
        if (refusal) throw refusal;
        return answer;
    };
    const api = {
        page: (before) => answer(`page ${before ?? "first"}`, () => {
            const all = [...kept.values()].sort(compare);
            const begin = before === null ? 0 : all.findIndex((one) => compare(JSON.parse(before), one) < 0);
            const sessions = begin < 0 ? [] : all.slice(begin, begin + 3);
            const isLast = begin < 0 || begin + 3 >= all.length;
            const next = isLast ? null : JSON.stringify(sessions.at(-1));
            return { sessions: sessions.map((one) => ({ ...one })), next };
        }),
        change: (id, change) => answer(`change ${id}`, () => Object.assign(kept.get(id), change)),
        remove: (id) => answer(`remove ${id}`, () => kept.delete(id)),
        restore: (id) => answer(`restore ${id}`, () => null),
    };
    const list = new Conversations(api);
    const ids = () => list.items.map(({ id }) => id).join(" ");
    const settled = () => new Promise((resolve) => setTimeout(resolve));
    const hold = () => { held = {}; held.promise = new Promise((resolve) => (held.release = resolve)); };
    const release = async () => { held.release(); held = null; await settled(); };
"""


@pytest.fixture(scope="module")
def page(browser, scripted_server):  # type: ignore[no-untyped-def]
    context = browser.new_context()
    yield ChatPage(context, scripted_server.url).open().page
    context.close()


def run(page: Page, body: str) -> Any:
    return page.evaluate(f"async () => {{ {PRELUDE} {body} }}")


def test_pages_are_read_as_far_as_somebody_looks(page: Page) -> None:
    seen = run(
        page,
        """
        for (let n = 1; n <= 8; n += 1) keep(`c${n}`, n);
        await list.refresh();
        const seen = [ids()];
        list.need(0, 2); await settled(); seen.push(ids());
        list.need(0, 3); await settled(); seen.push(ids());
        list.need(5, 90); await settled(); seen.push(ids(), list.isComplete);
        list.need(0, 90); await settled();
        return [...seen, asked.length];
        """,
    )
    assert seen == [
        "c8 c7 c6",
        "c8 c7 c6",
        "c8 c7 c6 c5 c4 c3",
        "c8 c7 c6 c5 c4 c3 c2 c1",
        True,
        3,
    ]


def test_pinned_ones_come_first_and_then_the_newest_change(page: Page) -> None:
    assert (
        run(
            page,
            """
            keep("old", 1, { pinned: true }); keep("a", 5); keep("b", 5);
            await list.refresh();
            list.take({ ...kept.get("a"), updated: 9 });
            return ids();
            """,
        )
        == "old a b"
    )


def test_a_frame_inserts_moves_renames_and_removes(page: Page) -> None:
    seen = run(
        page,
        """
        keep("a", 1); keep("b", 2);
        await list.refresh();
        const seen = [];
        list.take({ id: "c", title: "C", updated: 3, created: 3, pinned: false, running: true }); seen.push(ids());
        list.take({ ...kept.get("a"), title: "A" }); seen.push(ids(), list.get("a").title);
        list.take({ ...kept.get("a"), updated: 4 }); seen.push(ids());
        list.take({ id: "b", removed: true }); seen.push(ids());
        list.take({ id: "unknown", removed: true }); seen.push(ids());
        return seen;
        """,
    )
    assert seen == ["c b a", "c b a", "A", "a c b", "a c", "a c"]


def test_what_belongs_further_down_than_was_read_comes_with_its_page(page: Page) -> None:
    seen = run(
        page,
        """
        for (let n = 1; n <= 8; n += 1) keep(`c${n}`, n);
        await list.refresh();
        list.take({ ...kept.get("c1"), title: "changed" });
        const before = ids();
        keep("c8", 2.5);
        list.take(kept.get("c8")); // it was on top
        const after = ids();
        list.need(0, 9); await settled(); list.need(0, 9); await settled();
        return [before, after, ids()];
        """,
    )
    assert seen == ["c8 c7 c6", "c7 c6", "c7 c6 c5 c4 c3 c8 c2 c1"]


def test_after_a_gap_the_parts_in_view_are_read_again_and_the_rest_when_it_is_looked_at(page: Page) -> None:
    seen = run(
        page,
        """
        for (let n = 1; n <= 9; n += 1) keep(`c${n}`, n);
        await list.refresh(); list.need(0, 9); await settled(); list.need(0, 9); await settled();
        const before = ids();
        asked.length = 0;
        for (const id of ["c9", "c5", "c1"]) kept.delete(id);
        keep("new", 10); keep("c3", 3, { title: "renamed" });
        await list.refresh();
        const first = ids();
        list.need(0, 2); await settled();
        const still = asked.length;
        list.need(3, 8); await settled(); list.need(3, 8); await settled(); list.need(3, 8); await settled();
        return [before, first, still, ids(), list.get("c3").title];
        """,
    )
    assert seen == [
        "c9 c8 c7 c6 c5 c4 c3 c2 c1",
        "new c8 c7 c6 c5 c4 c3 c2 c1",
        1,
        "new c8 c7 c6 c4 c3 c2",
        "renamed",
    ]


def test_what_lies_above_the_view_is_not_read_again_for_the_sake_of_what_lies_in_it(page: Page) -> None:
    seen = run(
        page,
        """
        for (let n = 1; n <= 12; n += 1) keep(`c${10 + n}`, n);
        await list.refresh();
        for (let times = 0; times < 4; times += 1) { list.need(0, 99); await settled(); }
        await list.refresh();
        asked.length = 0;
        list.need(7, 8); await settled(); list.need(7, 8); await settled();
        return asked.map((question) => question.match(/c\\d+/)[0]);
        """,
    )
    assert seen == ["c17"], "The page after c17 is the one in view."


def test_a_frame_that_comes_while_a_page_is_under_way_is_newer_than_the_page(page: Page) -> None:
    seen = run(
        page,
        """
        keep("a", 1); keep("b", 2);
        hold();
        const read = list.refresh();
        kept.delete("a");
        list.take({ id: "a", removed: true });
        list.take({ ...kept.get("b"), title: "B" });
        list.take({ id: "c", title: "c", updated: 3, created: 3 });
        await release(); await read;
        return [ids(), list.get("b").title];
        """,
    )
    assert seen == ["c b", "B"]


def test_a_new_connection_makes_the_page_that_was_under_way_worthless(page: Page) -> None:
    seen = run(
        page,
        """
        keep("a", 1);
        hold();
        const early = list.refresh(), first = held;
        held = null;
        kept.delete("a"); keep("b", 2);
        await list.refresh();
        first.release(); await early;
        return ids();
        """,
    )
    assert seen == "b"


@pytest.mark.parametrize(
    ("change", "meanwhile"),
    [
        ("list.rename('a', 'new')", "a=new b=b"),
        ("list.pin('b', true)", "b=b a=a"),
        ("list.remove(list.get('b'))", "a=a"),
        ("list.restore({ ...kept.get('b'), id: 'c', title: 'c', updated: 9 })", "c=c a=a b=b"),
    ],
)
def test_a_change_shows_at_once_and_is_taken_back_when_it_is_refused(page: Page, change: str, meanwhile: str) -> None:
    seen = run(
        page,
        f"""
        const titles = () => list.items.map(({{ id, title }}) => `${{id}}=${{title}}`).join(" ");
        keep("a", 2); keep("b", 1);
        await list.refresh();
        hold();
        refusal = new HistoryRefused("The disk is full.", 503);
        const changing = {change}.catch((error) => error.message);
        const meanwhile = titles();
        await release();
        return [meanwhile, await changing, titles()];
        """,
    )
    assert seen == [meanwhile, "The disk is full.", "a=a b=b"]


def test_a_page_does_not_bring_back_what_is_being_deleted(page: Page) -> None:
    seen = run(
        page,
        """
        keep("a", 2); keep("b", 1);
        await list.refresh();
        const stays = { ...kept.get("b") };
        hold();
        const deleting = list.remove(list.get("b"));
        const first = held;
        held = null;
        kept.set("b", stays); // the server has not come to it
        await list.refresh();
        const meanwhile = ids();
        kept.delete("b"); first.release(); await deleting;
        return [meanwhile, ids()];
        """,
    )
    assert seen == ["a", "a"]


def test_while_nothing_is_kept_the_reason_is_known_and_frames_still_count(page: Page) -> None:
    seen = run(
        page,
        """
        const told = [];
        list.addEventListener("off", () => told.push(list.off));
        refusal = new HistoryRefused("DATABASE_URL is off.", 503);
        await list.refresh();
        for (const updated of [5, 3, 4]) list.take({ id: `c${updated}`, title: "t", updated, created: 0 });
        const off = ids();
        refusal = null;
        for (let n = 1; n <= 7; n += 1) keep(`c${n}`, n);
        await list.refresh();
        const read = list.refresh();
        list.heed({ state: "history_off", message: "The disk is full." });
        await read; list.need(0, 9); await settled(); // what is there can still be read
        list.heed({ state: "history_on", message: "" });
        return [off, ids(), told];
        """,
    )
    assert seen == ["c5 c4 c3", "c7 c6 c5 c4 c3 c2", ["DATABASE_URL is off.", None, "The disk is full.", None]]


def test_a_server_that_cannot_be_reached_changes_nothing(page: Page) -> None:
    seen = run(
        page,
        """
        keep("a", 1);
        await list.refresh();
        refusal = new HistoryRefused("The server cannot be reached.");
        await list.refresh();
        return [ids(), list.off];
        """,
    )
    assert seen == ["a", None]


@pytest.mark.parametrize("seed", range(6))
def test_random_changes_and_readings_end_in_the_servers_order(page: Page, seed: int) -> None:
    """Frames, gaps between them, readings here and there: when all has been read again, the list is the server's."""
    wrong = run(
        page,
        f"""
        let state = {seed} + 1;
        const random = (below) => (state = (state * 48271) % 2147483647) % below;
        for (let n = 0; n < 20; n += 1) keep(`c${{n}}`, random(12), {{ pinned: random(5) === 0 }});
        await list.refresh();
        for (let step = 0; step < 300; step += 1) {{
            const id = `c${{random(26)}}`;
            const isHeard = random(10) > 0; // else it happens while there is no connection
            if (random(4) === 0) {{
                kept.delete(id);
                if (isHeard) list.take({{ id, removed: true }});
            }} else {{
                const updated = random(3) ? (kept.get(id)?.updated ?? 1) : random(40);
                const changed = keep(id, updated, {{ pinned: random(6) === 0 }});
                if (isHeard) list.take(changed);
            }}
            if (!isHeard) await list.refresh();
            if (random(3) === 0) {{ list.need(random(8), 4 + random(20)); await settled(); }}
            const sorted = [...list.items].sort(compare).map((one) => one.id).join(" ");
            const isEachOnce = new Set(list.items.map((one) => one.id)).size === list.items.length;
            if (sorted !== ids() || !isEachOnce) return `${{step}}: ${{ids()}}`;
        }}
        for (let times = 0; times < 30; times += 1) {{ list.need(0, 99); await settled(); }}
        const wanted = [...kept.values()].sort(compare).map((one) => one.id).join(" ");
        return ids() === wanted ? null : [ids(), wanted];
        """,
    )
    assert wrong is None, wrong


def test_days_are_named_and_months_of_other_years_have_their_year(page: Page) -> None:
    groups = page.evaluate(
        """async () => {
            const { groupsOf } = await import("/static/view/days.js");
            const now = new Date(2026, 10, 21, 12);
            const at = (...date) => ({ pinned: false, updated: new Date(...date).getTime() / 1000 });
            const items = [
                { pinned: true, updated: 5 }, at(2026, 10, 21, 11), at(2026, 10, 21, 0), at(2026, 10, 20, 23, 59),
                at(2026, 10, 14), at(2026, 10, 13, 23), at(2026, 10, 1), at(2026, 9, 31),
                at(2025, 9, 31), at(2025, 9, 2),
            ];
            return groupsOf(items, now).map(({ name, first, count }) => `${name} ${first}+${count}`);
        }"""
    )
    assert groups == [
        "Pinned 0+1",
        "Today 1+2",
        "Yesterday 3+1",
        "Previous 7 days 4+1",
        "November 5+2",
        "October 7+1",
        "October 2025 8+2",
    ]


def test_every_height_belongs_to_the_line_that_lies_there(page: Page) -> None:
    wrong = page.evaluate(
        """async () => {
            const { HEADING_PX, Places, ROW_PX } = await import("/static/view/places.js");
            const items = Array.from({ length: 12 }, (_, id) => ({ id }));
            const groups = [[0, 1], [1, 7], [8, 4]].map(([first, count]) => ({ name: `from ${first}`, first, count }));
            const places = new Places(items, groups);
            const wrong = items.map((_, index) => index).filter((index) => {
                const top = places.topOf(index);
                return places.indexAt(top) !== index || places.indexAt(top + ROW_PX - 1) !== index;
            });
            if (places.height !== 3 * HEADING_PX + 12 * ROW_PX) wrong.push("height");
            if (places.between(0, places.height).length !== 12) wrong.push("between");
            return wrong;
        }"""
    )
    assert wrong == []


def test_only_the_answer_to_the_last_question_counts(page: Page) -> None:
    seen = page.evaluate(
        """async () => {
            const { Search } = await import("/static/search.js");
            const asked = [];
            const api = { search: (text, signal) => new Promise((resolve) => asked.push({ text, signal, resolve })) };
            const search = new Search(api);
            const until = async (count) => { while (asked.length < count) await new Promise(requestAnimationFrame); };
            search.type("f"); search.type("fo");
            await until(1);
            search.type("fox");
            await until(2);
            const changed = new Promise((resolve) => search.addEventListener("change", resolve, { once: true }));
            asked[1].resolve([{ id: "new" }]);
            asked[0].resolve([{ id: "stale" }]);
            await changed;
            await new Promise((resolve) => setTimeout(resolve));
            return [asked.map(({ text }) => text), asked[0].signal.aborted, search.hits, search.isPending];
        }"""
    )
    assert seen == [["fo", "fox"], True, [{"id": "new"}], False]
