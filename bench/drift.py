"""Whether something grows without end: samples over time, their drift, and a picture of them.

Knows nothing of where the samples come from.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WARM_UP = 0.2  # of the samples, the part that is not judged


@dataclass(slots=True, frozen=True)
class Sample:
    """What a server held at one moment. `messages` and `connects`: how many there had been by then."""

    seconds: float
    messages: int
    connects: int
    rss_mib: float
    anonymous_mib: float
    descriptors: int
    tasks: int


def drift_percent(values: Sequence[float]) -> float:
    """By how much `values` rise from one end to the other once warm, in percent of their level.

    The rise is that of the straight line that fits best (least squares), so that a single high sample does not count.
    """
    warm = values[int(WARM_UP * len(values)) :]
    if len(warm) < 2:
        raise ValueError("A drift takes at least two warm samples.")
    slope = statistics.linear_regression(range(len(warm)), warm).slope
    return slope * (len(warm) - 1) / statistics.fmean(warm) * 100


def draw(samples: Sequence[Sample], title: str, path: Path) -> None:
    """Memory, descriptors and tasks over the messages handled, as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (memory, handles, work) = pyplot.subplots(3, 1, figsize=(9, 9), sharex=True, layout="constrained")
    millions = [sample.messages / 1e6 for sample in samples]
    drift = drift_percent([sample.rss_mib for sample in samples])
    memory.plot(millions, [sample.rss_mib for sample in samples], label=f"RSS, drift {drift:+.2f} %")
    memory.plot(millions, [sample.anonymous_mib for sample in samples], label="of that, from no file", linestyle=":")
    memory.set_ylabel("memory, MiB")
    memory.set_ylim(0, 1.25 * max(sample.rss_mib for sample in samples))
    handles.plot(millions, [sample.descriptors for sample in samples], label="open descriptors")
    handles.plot(millions, [sample.tasks for sample in samples], label="tasks on the event loop")
    handles.set_ylabel("count, when everybody has left")
    handles.set_ylim(0, None)
    work.plot(millions, [sample.connects for sample in samples], label="connects")
    work.set_ylabel("connects so far")
    work.set_ylim(0, None)
    work.set_xlabel("messages handled, millions")
    for axes in (memory, handles, work):
        axes.axvspan(
            0, WARM_UP * millions[-1], color="0.93", label="warming up, not judged" if axes is memory else None
        )
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
