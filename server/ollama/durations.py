"""Times as Ollama's clients say them: a number of seconds, or a text such as `5m` or `1h30m`.

The form of the text is that of Go's `time.ParseDuration`. Less than nothing stands for ever.
"""

from __future__ import annotations

import math
import re

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_TEXT = re.compile(rf"([+-]?)((?:{_PART.pattern})+)", re.ASCII)
MOST_LETTERS = 100


def seconds_of(value: object) -> float:
    """The seconds that `value` means; infinity for a negative one. Raises ValueError with a sentence."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("It must be a number of seconds, or a text such as 5m.")
    seconds = _parsed(value) if isinstance(value, str) else float(value)
    return math.inf if seconds < 0 else seconds


def _parsed(text: str) -> float:
    if text in ("0", "+0", "-0"):
        return 0.0
    found = _TEXT.fullmatch(text) if len(text) <= MOST_LETTERS else None
    if found is None:
        bare = re.fullmatch(r"[+-]?\d+\.?\d*", text, re.ASCII) is not None
        hint = "A unit is missing, such as s in 30s." if bare else "Durations look like 30s, 5m or 1h30m."
        raise ValueError(f"{text[:20]!r} is not a duration. {hint}")
    seconds = sum(float(number) * UNITS[unit] for number, unit in _PART.findall(found[2]))
    return -seconds if found[1] == "-" else seconds
