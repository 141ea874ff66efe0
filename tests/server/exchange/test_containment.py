from __future__ import annotations

import time

import pytest

from server.exchange.containment import contained, plain

TABLE = {
    "text": ("One\n\ntwo", "One\n\ntwo"),
    "headings": ("# A\n## B\n###### C\n#no", "### A\n#### B\n###### C\n#no"),
    "underlined headings": ("A\n===\n\nB\n---\nmore", "### A\n\n#### B\nmore"),
    "a long underlined paragraph": ("A\nb\n===", "A\nb\n\n==="),
    "a rule": ("a\n\n---\n\nb", "a\n\n---\n\nb"),
    "a rule under a list": ("- a\n---", "- a\n---"),
    "a table": ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 1 | 2 |"),
    "headings in code": ("```\n# no\n```", "```\n# no\n```"),
    "an open fence": ("```py\nx = 1", "```py\nx = 1\n```"),
    "an open fence of waves": ("~~~\n```\n# x", "~~~\n```\n# x\n~~~"),
    "a longer fence": ("````\n```\n````\n# A", "````\n```\n````\n### A"),
    "a fence in a fence": (
        "```markdown\n# T\n```py\nx\n```\nend\n```\n# A",
        "````markdown\n# T\n```py\nx\n```\nend\n````\n### A",
    ),
    "a name inside a fence that is no fence": ("```text\n```py\n```\n# A", "```text\n```py\n```\n### A"),
    "a fence in a list": ("1. a\n\n   ```\n   # no\n   ```", "1. a\n\n   ```\n   # no\n   ```"),
    "tags": ("</details> and <!-- x", "&lt;/details> and &lt;!-- x"),
    "tags in code": ("`<b>` and ``a`<i>`` and <i>", "`<b>` and ``a`<i>`` and &lt;i>"),
    "a tick that stays open": ("`<b>", "`&lt;b>"),
    "code does not go over a blank line": ("`a\n\n<b>`", "`a\n\n&lt;b>`"),
    "tags in a fence": ("```\n</details>\n```", "```\n</details>\n```"),
    "no address": ("<https://example.org/a?b=<c>", "&lt;https://example.org/a?b=&lt;c>"),
    "an address": ("<https://example.org> 1 < 2 <3", "<https://example.org> 1 < 2 <3"),
    "Windows' line ends": ("# A\r\nb\rc", "### A\nb\nc"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("text", "shown"), TABLE.values(), ids=TABLE.keys())
def test_a_message_stays_in_its_place(text: str, shown: str) -> None:
    assert contained(text, 2) == shown


def test_plain_text_is_no_markdown() -> None:
    assert plain("a *b* [c](d) <e> `f` #") == r"a \*b\* \[c\](d) \<e\> \`f\` \#"


@pytest.mark.parametrize(
    "piece", ["```\n", "```a\n```b\n```\n", "`", "` `` ``` ", "<", "<http:", "a\n===\n", "# ", "```md\n```a\n", "> "]
)
def test_hostile_markdown_takes_no_longer_than_other_text(piece: str) -> None:
    began = time.process_time()
    contained(piece * (300_000 // len(piece)), 2)
    assert time.process_time() - began < 8
