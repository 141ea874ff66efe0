from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.exchange.files import content_disposition, file_name

TITLES = {
    "Rivers": "Rivers.md",
    'a/b\\c:d*e?f"g<h>i|j%k': "a b c d e f g h i j k.md",
    "Größe — 東京": "Größe — 東京.md",
    "evil\r\nSet-Cookie: a=b": "evil Set-Cookie a=b.md",
    "../../etc/passwd": "etc passwd.md",
    "...": "chat.md",
    "": "chat.md",
    "CON": "chat CON.md",
    "nul.txt": "chat nul.txt.md",
    "\u202egnp.exe": "gnp.exe.md",
    "x" * 300: "x" * 120 + ".md",
    "é" * 100: "é" * 60 + ".md",
}


@pytest.mark.parametrize(("title", "name"), TITLES.items())
def test_any_title_makes_a_name_for_any_file_system(title: str, name: str) -> None:
    assert file_name(title, ".md") == name


def test_a_plain_name_is_told_plainly() -> None:
    assert content_disposition("Rivers.json") == 'attachment; filename="Rivers.json"'


def test_another_name_is_told_twice() -> None:
    header = content_disposition("Größe 東京.json")
    assert header == "attachment; filename=\"Groe .json\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%E6%9D%B1%E4%BA%AC.json"
    assert content_disposition("東京.json").startswith('attachment; filename="chat.json";')


@given(st.text())
def test_the_header_is_one_line_that_programs_read(title: str) -> None:
    name = file_name(title, ".json")
    header = content_disposition(name)
    header.encode("latin-1")
    assert not set(header) & set("\r\n\0")
    simple, _, exact = header.removeprefix('attachment; filename="').partition('"')
    assert re.fullmatch(r"[A-Za-z0-9 ._()+,=-]+\.json", simple)
    assert unquote(exact.removeprefix("; filename*=UTF-8''")) == (name if exact else "")
    assert exact or simple == name
