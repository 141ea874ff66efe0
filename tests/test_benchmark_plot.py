"""`python benchmark_plot.py`: really measured, drawn, and clear about what is missing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

import benchmark_plot
from tests.tiny_model import write_tiny_model

PNG = b"\x89PNG\r\n\x1a\n"


def test_it_measures_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, picture = write_tiny_model(tmp_path / "tiny.gguf"), tmp_path / "result.png"
    assert benchmark_plot.main(["--quick", "--model", str(model), "--out", str(picture)]) == 0
    assert picture.read_bytes().startswith(PNG)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("tokens/s")[0].rsplit(maxsplit=1)[0].strip() for line in printed[:-1]] == [
        "The usual way (transformers), one question after another",
        "Switchboard, 1 question",
        *(f"Switchboard, {batch} questions at once" for batch in (4, 8, 16)),
    ]
    assert all(float(line.split()[-2]) > 0 for line in printed[:-1])


def test_without_matplotlib_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_plot, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name))
    assert benchmark_plot.main([]) == 2
    assert "matplotlib is missing" in (said := capsys.readouterr().err)
    assert "pip install" in said


def test_without_a_model_it_says_how_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark_plot.main(["--model", str(tmp_path / "none.gguf")]) == 2
    assert "make model" in capsys.readouterr().err


@pytest.mark.parametrize(("ratio", "said"), [(0.84, "0.8×"), (2.345, "2.3×"), (71.8, "72×")])
def test_a_ratio_is_said_as_people_do(ratio: float, said: str) -> None:
    assert benchmark_plot.times(ratio) == said
    assert said in benchmark_plot.headline(ratio)
