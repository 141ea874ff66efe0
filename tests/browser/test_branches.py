"""The tree: rewriting, answering again, going on, switching and deleting. Nothing that was said is overwritten."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.servers import Server

pytestmark = pytest.mark.browser


def versions(message: Locator) -> Locator:
    """`2/3` under a message."""
    return message.locator(".branches .figures")


def top(node: Locator) -> float:
    box = node.bounding_box()
    assert box is not None
    return box["y"]


def test_answering_again_keeps_the_answer_before(fresh: ChatPage) -> None:
    fresh.ask("hello")
    fresh.press(fresh.answers.last, "Answer again")
    expect(versions(fresh.answers.last)).to_have_text("2/2")
    fresh.wait_answered()
    expect(fresh.answers).to_have_count(1)
    expect(fresh.users).to_have_text(["hello"])
    fresh.page.reload()
    expect(versions(fresh.answers.last)).to_have_text("2/2")


def test_a_message_is_rewritten_in_place_and_answered_anew(fresh: ChatPage) -> None:
    fresh.ask("first")
    fresh.ask("second")
    fresh.press(fresh.user_messages.first, "Edit your message")
    box = fresh.page.get_by_role("textbox", name="Your message", exact=True).first
    expect(box).to_be_focused()
    expect(box).to_have_value("first")
    box.fill("first, but better")
    box.press("Control+Enter")
    expect(fresh.users).to_have_text(["first, but better"])
    fresh.wait_answered()
    expect(fresh.last_answer).to_have_text("first, but better")
    expect(versions(fresh.user_messages.first)).to_have_text("2/2")
    fresh.press(fresh.user_messages.first, "Previous version")
    expect(fresh.users).to_have_text(["first", "second"])
    expect(fresh.answers.locator(".body")).to_have_text(["first", "second"])


def test_escape_leaves_a_message_as_it_was(fresh: ChatPage) -> None:
    fresh.ask("as it was")
    fresh.press(fresh.user_messages.first, "Edit your message")
    fresh.page.keyboard.type(" not")
    fresh.page.keyboard.press("Escape")
    expect(fresh.users).to_have_text(["as it was"])
    expect(fresh.user_messages.first.get_by_role("button", name="Edit your message")).to_be_focused()


def test_a_key_of_an_input_method_neither_saves_nor_cancels(fresh: ChatPage) -> None:
    fresh.ask("hello")
    fresh.press(fresh.user_messages.first, "Edit your message")
    box = fresh.user_messages.first.locator("textarea")
    for key in ("Enter", "Escape"):
        options = {"key": key, "ctrlKey": True, "isComposing": True, "bubbles": True, "cancelable": True}
        box.dispatch_event("keydown", options)
    expect(box).to_have_value("hello")
    expect(fresh.answers).to_have_count(1)


def test_an_answer_is_rewritten_beside_the_one_that_was_given(fresh: ChatPage) -> None:
    fresh.ask("hello")
    fresh.press(fresh.answers.last, "Edit the answer")
    fresh.answers.last.locator("textarea").fill("Hello **yourself**")
    fresh.answers.last.get_by_role("button", name="Save").click()
    expect(fresh.last_answer).to_have_text("Hello yourself")
    expect(fresh.answers.last.locator(".answer-footer")).to_contain_text("edited")
    expect(versions(fresh.answers.last)).to_have_text("2/2")
    assert fresh.ask("and then") == "and then"
    expect(fresh.answers.locator(".body")).to_have_text(["Hello yourself", "and then"])


def test_up_in_an_empty_box_rewrites_the_last_message(fresh: ChatPage) -> None:
    fresh.ask("one")
    fresh.ask("two")
    fresh.input.fill("not empty")
    fresh.input.press("ArrowUp")
    expect(fresh.input).to_be_focused()
    fresh.input.fill("")
    fresh.input.press("ArrowUp")
    expect(fresh.user_messages.last.locator("textarea")).to_have_value("two")
    fresh.page.keyboard.type("!")
    fresh.page.keyboard.press("Control+Enter")
    expect(fresh.users).to_have_text(["one", "two!"])


def test_what_is_rewritten_while_an_answer_runs_stops_it_first(fresh: ChatPage) -> None:
    fresh.say("count to 400")
    expect(fresh.last_answer).to_contain_text("1 2 3")
    fresh.say("later")
    expect(fresh.queued).to_have_count(1)
    fresh.press(fresh.user_messages.first, "Edit your message")
    fresh.page.keyboard.press("Control+A")
    fresh.page.keyboard.type("count to 40")
    fresh.page.keyboard.press("Control+Enter")
    expect(fresh.users.first).to_have_text("count to 40")
    expect(fresh.users).to_have_text(["count to 40", "later"])
    expect(fresh.last_answer).to_have_text("later")
    expect(fresh.answers.first.locator(".body")).to_contain_text("39 40")
    fresh.press(fresh.user_messages.first, "Previous version")
    expect(fresh.answers.last.locator(".answer-footer")).to_contain_text("Stopped before it was done.")
    expect(fresh.errors).to_have_count(0)


def test_a_stopped_answer_goes_on_in_the_same_place(fresh: ChatPage) -> None:
    fresh.say("count to 60")
    expect(fresh.last_answer).to_contain_text("1 2 3")
    fresh.stop_button.click()
    fresh.answers.last.get_by_role("button", name="Continue").click()
    expect(fresh.input).to_be_focused()
    fresh.wait_answered()
    expect(fresh.last_answer.locator("p")).to_have_text([" ".join(str(number) for number in range(1, 61))])
    expect(fresh.answers).to_have_count(1)
    expect(fresh.answers.get_by_role("button", name="Continue")).to_have_count(0)
    expect(versions(fresh.answers.last)).to_be_hidden()


def test_an_answer_that_was_cut_says_so_and_goes_on(chat: ChatPage) -> None:
    chat.page.locator("#settings-button").click()
    chat.page.get_by_label("Longest answer").press("Home")
    chat.page.keyboard.press("Escape")
    chat.ask("count to 30 quickly")
    expect(chat.answers.last.locator(".ending")).to_contain_text("Cut at the limit of 16 tokens.")
    chat.answers.last.get_by_role("button", name="Continue").click()
    chat.wait_answered()
    expect(chat.last_answer).to_have_text(" ".join(str(number) for number in range(1, 31)))


def test_a_failed_answer_can_be_tried_again_or_gone_on_with(fresh: ChatPage) -> None:
    fresh.say("fail broken")
    expect(fresh.errors.get_by_role("button", name="Continue")).to_be_visible()
    fresh.errors.get_by_role("button", name="Try again").click()
    expect(versions(fresh.answers.last)).to_have_text("2/2")
    expect(fresh.errors).to_have_count(1)
    fresh.say("fail overloaded at once")
    expect(fresh.errors).to_have_count(2)
    expect(fresh.errors.last.get_by_role("button", name="Continue")).to_have_count(0)
    fresh.errors.last.get_by_role("button", name="Try again").click()
    expect(versions(fresh.errors.last)).to_have_text("2/2")


def test_deleting_asks_and_says_how_much_goes(fresh: ChatPage) -> None:
    fresh.ask("one")
    fresh.ask("two")
    fresh.ask("three")
    second = fresh.user_messages.nth(1)
    fresh.press(second, "Delete from here on")
    question = second.get_by_role("group", name="Delete 4 messages?")
    expect(question.get_by_role("button", name="Keep")).to_be_focused()
    fresh.page.keyboard.press("Escape")
    expect(second.get_by_role("button", name="Delete from here on")).to_be_focused()
    fresh.page.keyboard.press("Enter")
    question.get_by_role("button", name="Delete").click()
    expect(fresh.users).to_have_text(["one"])
    expect(fresh.input).to_be_focused()
    assert fresh.ask("two again") == "two again"
    fresh.press(fresh.answers.last, "Answer again")
    expect(versions(fresh.answers.last)).to_have_text("2/2")
    fresh.wait_answered()
    fresh.press(fresh.answers.last, "Delete from here on")
    expect(fresh.answers.last.get_by_role("group", name="Delete this message?")).to_be_visible()
    fresh.answers.last.get_by_role("button", name="Delete").click()
    expect(versions(fresh.answers.last)).to_be_hidden()
    expect(fresh.answers.locator(".body")).to_have_text(["one", "two again"])


def test_switching_keeps_the_arrows_under_the_pointer_and_draws_nothing_above(fresh: ChatPage) -> None:
    fresh.ask("\n\n".join(f"Before {number}" for number in range(20)))
    fresh.ask("short")
    fresh.press(fresh.answers.last, "Edit the answer")
    fresh.answers.last.locator("textarea").fill("\n\n".join(f"Paragraph {number}" for number in range(20)))
    fresh.page.keyboard.press("Control+Enter")
    expect(versions(fresh.answers.last)).to_have_text("2/2")
    for number in range(3):
        fresh.ask("\n\n".join(f"After {number}" for number in range(8)))
    fresh.page.evaluate(
        """() => {
            window.touched = [];
            new MutationObserver((list) => touched.push(...list.map(({ target }) => target.className)))
                .observe(document.querySelector(".message.ai"), { childList: true, subtree: true, attributes: true });
        }"""
    )
    switched = fresh.answers.nth(1)
    back, on = (switched.get_by_role("button", name=name) for name in ("Previous version", "Next version"))
    back.scroll_into_view_if_needed()
    before = top(back)
    back.click()
    expect(switched.locator(".body")).to_have_text("short")
    expect(back).to_be_focused()
    assert abs(top(back) - before) < 1.5, "The arrow stands where it was pressed."
    before = top(switched)
    on.click()
    expect(switched.locator(".body")).to_contain_text("Paragraph 0")
    expect(on).to_be_focused()
    assert abs(top(switched) - min(before, top(fresh.page.locator("#scroller")) + 12)) < 1.5, (
        "Its beginning is in view."
    )
    assert fresh.page.evaluate("() => touched") == [], "What stands above is left alone."


TREE = """async (count) => {
    const { handleMessage, store } = await import("/static/script.js");
    const { session, epoch } = store;
    const messages = [];
    const answer = (n) => `Answer **${n}**:\\n\\n- one\\n- two\\n\\n~~~python\\nprint(${n})\\n~~~\\n`;
    for (let n = 0; n < count; n += 2) {
        const before = n ? `m${n - 1}` : null;
        messages.push({ id: `m${n}`, parent_id: before, role: "user", message: `Question ${n}`, selected: true });
        messages.push({ id: `m${n + 1}`, parent_id: `m${n}`, role: "ai", finish_reason: "stop", selected: true,
            message: answer(n) });
    }
    messages.push({ id: "other", parent_id: `m${count - 10}`, role: "ai", finish_reason: "stop", selected: false,
        message: "Another answer." });
    handleMessage({ type: "snapshot", session, epoch, seq: 1, messages, running: [], queue: [] });
    const drawn = () => !document.querySelector("[aria-busy=true]");
    const frame = () => new Promise(requestAnimationFrame);
    while (!drawn()) await frame();
    const kept = document.querySelectorAll(".message");
    const took = [];
    for (const [seq, id] of [[2, "other"], [3, `m${count - 9}`], [4, "other"]]) {
        const began = performance.now();
        handleMessage({ type: "selected", session, seq, id });
        took.push(performance.now() - began);
        await frame();
    }
    const began = performance.now();
    handleMessage({ type: "snapshot", session, epoch: "next", seq: 4, running: [], queue: [],
        messages: messages.map((message) => ({ ...message, ...(message.id === `m${count - 9}` && { selected: false }),
            ...(message.id === "other" && { selected: true }) })) });
    const restarted = performance.now() - began;
    const still = [...kept].filter((node) => node.isConnected).length;
    return { took: Math.max(...took), restarted, still, all: kept.length, busy: !drawn(),
             shown: document.querySelectorAll(".message").length };
}"""


def test_a_switch_among_a_thousand_messages_touches_only_what_differs(fresh: ChatPage) -> None:
    found = fresh.page.evaluate(TREE, 1_000)
    assert found["all"] - found["still"] == 9, "The answer and the eight messages below it are another branch."
    assert found["shown"] == found["still"] + 1
    assert not found["busy"], "A snapshot of what is known draws nothing anew."
    assert found["took"] < 400
    assert found["restarted"] < 1_000


def test_another_browser_switches_too_and_keeps_a_half_written_edit(
    open_page: OpenPage, scripted_server: Server, fresh: ChatPage
) -> None:
    one = fresh
    one.ask("hello")
    two = open_page(scripted_server).open(one.page.url)
    one.press(one.answers.last, "Answer again")
    expect(versions(two.answers.last)).to_have_text("2/2")
    one.wait_answered()
    two.press(two.answers.last, "Edit the answer")
    two.answers.last.locator("textarea").fill("half written")
    one.press(one.answers.last, "Previous version")
    expect(versions(two.answers.last)).to_have_text("1/2")
    expect(two.answers.last.locator("textarea")).to_have_count(0)
    one.press(one.answers.last, "Next version")
    expect(two.answers.last.locator("textarea")).to_have_value("half written")


def test_a_message_is_found_on_whichever_branch_it_is(fresh: ChatPage) -> None:
    fresh.ask("first")
    fresh.ask("to be found")
    fresh.press(fresh.user_messages.first, "Edit your message")
    fresh.page.keyboard.type(", once more")
    fresh.page.keyboard.press("Control+Enter")
    expect(fresh.users).to_have_text(["first, once more"])
    fresh.wait_answered()
    fresh.page.evaluate(
        """async () => {
            const { list, store } = await import("/static/script.js");
            list.reveal([...store.messages.values()].find(({ message }) => message === "to be found").id);
        }"""
    )
    expect(fresh.page.locator(".message.found .body")).to_have_text("to be found")
    fresh.page.keyboard.press("Shift")
    expect(fresh.page.locator(".message.found")).to_have_count(0)


def test_a_rewritten_message_that_is_refused_is_given_back(fresh: ChatPage) -> None:
    fresh.ask("short")
    fresh.press(fresh.user_messages.first, "Edit your message")
    text = "x" * 33_000
    fresh.user_messages.first.locator("textarea").fill(text)
    fresh.page.keyboard.press("Control+Enter")
    expect(fresh.errors).to_contain_text("The message is too long.")
    expect(fresh.user_messages.first.locator("textarea")).to_have_value(text)


def test_a_model_that_cannot_go_on_is_asked_again(fresh: ChatPage) -> None:
    fresh.page.locator("#model-button").click()
    fresh.page.get_by_role("option", name="Other").click()
    expect(fresh.page.locator("#model-name")).to_have_text("Other")
    fresh.say("count to 400")
    expect(fresh.last_answer).to_contain_text("1 2 3")
    fresh.stop_button.click()
    expect(fresh.answers.last.locator(".ending").get_by_role("button")).to_have_text(["Try again"])
    fresh.page.locator("#model-button").click()
    fresh.page.get_by_role("option", name="Fluent").click()
    expect(fresh.page.locator("#model-name")).to_have_text("Fluent")
