"""The measuring of documents, on a tiny model: all of them are valid, and one that is not is noticed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import structured as bench
from bench.structured import Run


def test_every_document_is_valid(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["structured", "--model", str(tiny_model), "--count", "3", "--threads", "1"])
    bench.main()
    assert capsys.readouterr().out.count("3 of 3 valid") == 2


def test_fifty_prompts_are_fifty_different_ones() -> None:
    assert len(set(bench.prompts(50))) == 50


@pytest.mark.parametrize(
    ("text", "reason", "counts"),
    [
        ('{"name":"x","age":1,"mood":"sad","likes":[],"home":{"city":"","code":"12345"}}', "stop", True),
        ('{"name":"x","age":1,"mood":"sad","likes":[],"home":{"city":"","code":"12345"}}', "length", False),
        ('{"name":"x","age":121,"mood":"sad","likes":[],"home":{"city":"","code":"12345"}}', "stop", False),
        ('{"name":"x"', "length", False),
    ],
)
def test_what_is_no_document_does_not_count(text: str, reason: str, counts: bool) -> None:
    assert bench.valid(Run(texts={"a": text}, reasons={"a": reason})) == counts
