"""What an examination finds: one thing that works, works in part, or does not, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

State = Literal["works", "limited", "broken", "skipped"]


@dataclass(slots=True, frozen=True)
class Finding:
    """`told` is what was found; `advice`, if there is any, is what to do."""

    name: str
    state: State
    told: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """All of it, by name."""
        return asdict(self)


def works(name: str, told: str) -> Finding:
    """All is well."""
    return Finding(name, "works", told)


def limited(name: str, told: str, advice: str = "") -> Finding:
    """One can live with it."""
    return Finding(name, "limited", told, advice)


def broken(name: str, told: str, advice: str = "") -> Finding:
    """Something that is needed does not work."""
    return Finding(name, "broken", told, advice)


def skipped(name: str, told: str) -> Finding:
    """It could not be looked at, or is not wanted."""
    return Finding(name, "skipped", told)
