"""Draws what the engine is for: `python benchmark_plot.py` writes `benchmark_result.png`, in about a minute.

Measures, and does not pretend: the library transformers answers questions one after another, then the engine answers
1, 4, 8 and 16 at once, on the same model, machine and number of threads. The thorough comparisons are in `bench/`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent
MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
RESULT = ROOT / "benchmark_result.png"
BATCHES = (1, 4, 8, 16)
INK, FAINT = "#1f2328", "#57606a"
NEEDED = ("gguf", "matplotlib", "transformers")
MISSING = 'The comparison needs a few packages more ({name} is missing). Install them: python -m pip install ".[bench]"'


@dataclass(slots=True, frozen=True)
class Effort:
    """How much is measured: questions to the baseline, tokens of each answer, and how often."""

    questions: int
    tokens: int
    rounds: int


FULL = Effort(questions=2, tokens=64, rounds=3)
QUICK = Effort(questions=1, tokens=3, rounds=1)


@dataclass(slots=True, frozen=True)
class Bar:
    """One line of the picture, in tokens a second."""

    name: str
    rate: float


def measure(model: Path, effort: Effort) -> list[Bar]:
    """The baseline first, then the engine with more and more questions at once; medians, taking turns."""
    from bench.against_transformers import DTYPES, ENGINE, PROMPT, answerer
    from bench.prompts import Prompts

    prompts, tokens = Prompts(model), effort.tokens
    baseline = answerer(next(iter(DTYPES)), model, 1, tokens)
    engine = answerer(ENGINE, model, max(BATCHES), tokens)
    one_by_one: list[float] = []
    at_once: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for answer in (baseline, engine):
        answer([prompts.ids(PROMPT, 0)])  # once, to warm up
    for turn in range(1, effort.rounds + 1):
        asked = [[prompts.ids(PROMPT, 1000 * turn + number)] for number in range(effort.questions)]
        one_by_one.append(len(asked) * tokens / sum(map(baseline, asked)))
        for batch, rates in at_once.items():
            together = [prompts.ids(PROMPT, 1000 * turn + 50 * batch + number) for number in range(batch)]
            rates.append(batch * tokens / engine(together))
    bars = [Bar("The usual way (transformers),\none question after another", statistics.median(one_by_one))]
    for batch, rates in at_once.items():
        asked_at_once = "1 question" if batch == 1 else f"{batch} questions at once"
        bars.append(Bar(f"Switchboard,\n{asked_at_once}", statistics.median(rates)))
    return bars


def draw(bars: list[Bar], machine: str, target: Path) -> None:
    """Write the picture. The first bar is what the others are compared with."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    base, best = bars[0].rate, bars[-1].rate
    figure, axes = plt.subplots(figsize=(10, 5.6), dpi=160, facecolor="white")
    figure.subplots_adjust(left=0.27, right=0.97, top=0.76, bottom=0.13)
    axes.barh(
        range(len(bars)), [bar.rate for bar in bars], color=["#a8adb5", *["#2563eb"] * (len(bars) - 1)], height=0.66
    )
    axes.set_yticks(range(len(bars)), [bar.name for bar in bars], fontsize=11, color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0, max(bar.rate for bar in bars) * 1.2)
    for place, bar in enumerate(bars):
        label = axes.annotate(
            f"{bar.rate:,.0f}",
            (bar.rate, place),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=14,
            fontweight="bold",
            color=INK,
        )
        beside = "tokens a second" if place == 0 else times(bar.rate / base)
        axes.annotate(beside, (1, 0), (8, 0), label, textcoords="offset points", va="bottom", fontsize=12, color=FAINT)
    axes.xaxis.set_visible(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.text(0.03, 0.93, headline(best / base), fontsize=18, fontweight="bold", va="center", color=INK)
    subtitle = "Tokens written each second, all answers together; longer is better. Three words are about four tokens."
    figure.text(0.03, 0.86, subtitle, fontsize=11, va="center", color=FAINT)
    figure.text(0.03, 0.04, machine, fontsize=9, va="center", color=FAINT)
    figure.savefig(target)
    plt.close(figure)


def headline(ratio: float) -> str:
    """The picture's one sentence."""
    return f"{max(BATCHES)} people ask at once: {times(ratio)} the speed of the usual way"


def times(ratio: float) -> str:
    """A ratio as people say it."""
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"


def describe(model: Path) -> str:
    """Where and on what this was measured."""
    from bench.report import machine
    from bench.servers import THREADS

    usual, processor = f"transformers {version('transformers')} in float32", machine()["processor"]
    return f"Measured with {model.stem} on {processor}, {THREADS} threads; the usual way is {usual}."


def main(arguments: list[str]) -> int:
    """Measure and draw. The exit status is 2 when something needed is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="measure next to nothing: to see that it works")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(MISSING.format(name=missing[0]), file=sys.stderr)
        return 2
    if not options.model.exists():
        print(f"There is no {options.model}. `make model` fetches the embedded model.", file=sys.stderr)
        return 2
    bars = measure(options.model, QUICK if options.quick else FULL)
    for bar in bars:
        print(f"{bar.name.replace(chr(10), ' '):50} {bar.rate:8.1f} tokens/s")
    draw(bars, describe(options.model), options.out)
    print(f"The picture is {options.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
