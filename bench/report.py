"""Figures of several contestants, measured again and again: medians, a table, and a JSON file."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that at least `percent` of them do not exceed (nearest rank)."""
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(0, rank - 1)]


@dataclass(slots=True)
class Results:
    """Figures by measure and contestant, in the order in which they first came. A measure's name ends with its unit."""

    columns: tuple[str, ...]  # the first is the one the others are compared with
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, column: str, figures: Mapping[str, float]) -> None:
        """Note one more round's figures."""
        assert column in self.columns
        for measure, value in figures.items():
            self.figures.setdefault(measure, {}).setdefault(column, []).append(value)

    def median(self, measure: str, column: str) -> float | None:
        """None where that column was not measured."""
        values = self.figures.get(measure, {}).get(column)
        return statistics.median(values) if values else None

    def ratio(self, measure: str, column: str) -> float | None:
        """The first column's median divided by that of `column`."""
        ours, theirs = self.median(measure, self.columns[0]), self.median(measure, column)
        return ours / theirs if ours is not None and theirs else None

    def table(self, goals: Mapping[str, Sequence[float]]) -> str:
        """Markdown: a line a measure, its medians, then its ratios to the other columns, with the goals if it has some.

        A goal is met from above where the unit is a rate or a share, and from below where it is a time.
        """
        others = self.columns[1:]
        lines = [["", *self.columns, *(f"ratio to {column}" for column in others)]]
        for measure in self.figures:
            cells = [_number(self.median(measure, column)) for column in self.columns]
            wanted = goals.get(measure, [math.nan] * len(others))
            ratios = [self._judged(measure, column, goal) for column, goal in zip(others, wanted, strict=True)]
            lines.append([measure, *cells, *ratios])
        return _aligned(lines)

    def _judged(self, measure: str, column: str, goal: float) -> str:
        ratio = self.ratio(measure, column)
        if ratio is None:
            return ""
        if math.isnan(goal):
            return f"{ratio:.2f}"
        met = ratio <= goal if measure.endswith(" ms") else ratio >= goal
        return f"{ratio:.2f} ({'met' if met else 'missed'}: {goal:g})"


def write_json(path: Path, results: Results, **more: object) -> None:
    """All figures of all rounds, the medians and ratios, what the machine is, and `more`."""
    medians = {
        measure: {column: results.median(measure, column) for column in columns}
        for measure, columns in results.figures.items()
    }
    ratios = {
        measure: {column: results.ratio(measure, column) for column in results.columns[1:]}
        for measure in results.figures
    }
    path.write_text(
        json.dumps(
            {
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": machine(),
                **more,
                "medians": medians,
                "ratios": ratios,
                "rounds": results.figures,
            },
            indent=2,
        )
        + "\n"
    )


def machine() -> dict[str, object]:
    """What these figures hold for."""
    found = Path("/proc/cpuinfo")
    lines = found.read_text().splitlines() if found.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform(), "load before": load}


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]

    def drawn(cells: Sequence[str]) -> str:
        first, *rest = (
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join([first, *rest])} |"

    rule = [("-" * width) if not place else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return "\n".join([drawn(lines[0]), drawn(rule), *map(drawn, lines[1:])])
