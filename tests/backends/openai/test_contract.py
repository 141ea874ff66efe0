"""What every backend promises, and what the one to OpenAI-compatible servers does beyond."""

from __future__ import annotations

from tests.backends.contract import Contract


class TestContract(Contract):
    """Kept with each of the servers."""
