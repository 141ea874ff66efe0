"""Whether a conversation's answers begin with thinking, where a person has chosen that for all of it."""

from __future__ import annotations

from dataclasses import replace

from server.history.records import About

SETTING = "think"


def chosen(about: About) -> bool | None:
    """What was chosen; None when nothing was, and a model that can think does."""
    value = about.settings.get(SETTING)
    return value if isinstance(value, bool) else None


def toggled(about: About, enabled: bool | None) -> About:
    """The conversation with thinking on or off; None turns it to the other."""
    enabled = chosen(about) is False if enabled is None else enabled
    return replace(about, settings={**about.settings, SETTING: enabled})
