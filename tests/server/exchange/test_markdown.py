from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from server.exchange.fences import fenced
from server.exchange.markdown import markdown
from server.history.records import Stored
from server.protocol import RunError, SnapshotMessage
from tests.server.exchange.conversations import ai, conversation, stored, user


def test_a_conversation_reads_from_top_to_bottom() -> None:
    notice = SnapshotMessage(id="notice-3", parent_id="a", role="notice", message="From here on b/c answers.")
    kept = conversation(
        user("q", "# What is *tea*?", at=1_700_000_000.0),
        ai("a", "A drink.\n\n```\nboil()", "q", reasoning="Leaves </details>", at=1_700_000_001.0, model="x/y_z"),
        notice,
        user("r", "And coffee?", "a"),
        ai("b", "", "r", finish_reason=None, error=RunError(code="internal", message="It broke.")),
        title="Tea *and* coffee",
    )
    assert markdown(kept) == (
        "# Tea \\*and\\* coffee\n\n"
        "*Begun 2023-11-14 22:13 UTC, last changed 2023-11-14 22:14 UTC.*\n\n"
        "## You, 2023-11-14 22:13 UTC\n\n"
        "### What is *tea*?\n\n"
        "## x/y\\_z, 2023-11-14 22:13 UTC\n\n"
        "<details>\n<summary>Reasoning</summary>\n\nLeaves &lt;/details>\n\n</details>\n\n"
        "A drink.\n\n```\nboil()\n```\n\n"
        "*From here on b/c answers.*\n\n"
        "## You\n\n"
        "And coffee?\n\n"
        "## echo/echo\n\n"
        "*Failed: It broke.*\n"
    )


def test_other_branches_come_behind() -> None:
    kept = conversation(
        user("q", "Tea?"),
        ai("a", "Yes.", "q", selected=False, finish_reason="length"),
        ai("b", "No.", "q"),
        user("r", "Why?", "a"),
        user("s", "First?", selected=False),
    )
    assert markdown(kept).partition("UTC.*\n\n")[2] == (
        "## You, version 1 of 2\n\nTea?\n\n"
        "## echo/echo, version 2 of 2\n\nNo.\n\n"
        "## Other branches\n\n"
        "### After “Tea?”\n\n"
        "#### echo/echo, version 1 of 2\n\nYes.\n\n*Cut off at the limit of tokens.*\n\n"
        "#### You\n\nWhy?\n\n"
        "### From the beginning\n\n"
        "#### You, version 2 of 2\n\nFirst?\n"
    )


@settings(max_examples=30)
@given(stored())
def test_every_message_is_told_once(kept: Stored) -> None:
    messages = [
        replace(record, message=record.message.model_copy(update={"message": f"say{record.position}so"}))
        for record in kept.messages
    ]
    blocks = markdown(replace(kept, messages=messages)).rstrip().split("\n\n")
    for number in range(len(messages)):
        assert blocks.count(f"say{number}so") + blocks.count(f"*say{number}so*") == 1


def test_code_is_fenced_longer_than_what_it_holds() -> None:
    assert fenced("a\n````\nb", "py") == "`````py\na\n````\nb\n`````"
    assert fenced("x", "c++ `") == "```c++\nx\n```"
    assert fenced(" \n") == ""
